//! Which layers an adapter changes, as PEFT's `adapter_config.json` says it.

use fancy_regex::Regex;
use serde_json::Value;

/// `target_modules`, and what narrows it.
pub(super) struct Targets {
    modules: Modules,
    excluded: Option<Modules>,
    /// `layers_to_transform`.
    layers: Option<Vec<u64>>,
}

enum Modules {
    All,
    /// The ends of their paths.
    Ends(Vec<String>),
    /// The whole of their paths.
    Pattern(Box<Regex>),
}

impl Targets {
    pub fn read(config: &Value) -> Result<Self, String> {
        let excluded = &config["exclude_modules"];
        let layers = &config["layers_to_transform"];
        let numbers = match layers {
            Value::Null => None,
            Value::Array(numbers) => numbers.iter().map(Value::as_u64).collect::<Option<Vec<_>>>(),
            number => number.as_u64().map(|number| vec![number]),
        };
        if numbers.is_none() && !layers.is_null() {
            return Err(format!("layers_to_transform: expected numbers, found {layers}"));
        }
        Ok(Self {
            modules: Modules::read("target_modules", &config["target_modules"])?,
            excluded: match excluded.is_null() {
                true => None,
                false => Some(Modules::read("exclude_modules", excluded)?),
            },
            layers: numbers.filter(|numbers| !numbers.is_empty()),
        })
    }

    /// Whether the linear layer at `path`, of block `block`, is changed.
    pub fn contain(&self, path: &str, block: Option<u64>) -> Result<bool, String> {
        let in_block = self
            .layers
            .as_ref()
            .is_none_or(|layers| block.is_some_and(|block| layers.contains(&block)));
        let is_excluded = self.excluded.as_ref().map_or(Ok(false), |other| other.contain(path))?;
        Ok(in_block && !is_excluded && self.modules.contain(path)?)
    }
}

impl Modules {
    fn read(key: &str, value: &Value) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("{key}: expected a list of names or a pattern{why}, found {value}");
        match value {
            Value::Null => Ok(Self::All),
            Value::String(all) if all == "all-linear" => Ok(Self::All),
            Value::String(pattern) => {
                let regex = Regex::new(&format!(r"\A(?:{pattern})\z"));
                let regex =
                    regex.map_err(|error| wrong(&format!(" that can be read ({error})")))?;
                Ok(Self::Pattern(Box::new(regex)))
            }
            Value::Array(names) => {
                let names = names.iter().map(|name| name.as_str().map(String::from));
                names.collect::<Option<_>>().map(Self::Ends).ok_or_else(|| wrong(""))
            }
            _ => Err(wrong("")),
        }
    }

    fn contain(&self, path: &str) -> Result<bool, String> {
        match self {
            Self::All => Ok(true),
            Self::Ends(names) => Ok(names.iter().any(|name| {
                path.strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })),
            Self::Pattern(regex) => regex.is_match(path).map_err(|error| {
                format!("target_modules: the pattern cannot be tried on {path}: {error}")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// PEFT's `check_target_module_exists`: names are ends of paths at a dot, a pattern is the whole path.
    #[test]
    fn names_patterns_and_layers_choose_as_in_peft() {
        let path = "model.layers.1.mlp.up_proj";
        let contains =
            |config: Value| Targets::read(&config).and_then(|t| t.contain(path, Some(1)));
        for (modules, expected) in [
            (json!(["up_proj"]), true),
            (json!(["mlp.up_proj"]), true),
            (json!(["proj"]), false),
            (json!([path]), true),
            (json!([]), false),
            (json!("all-linear"), true),
            (json!(".*up_proj"), true),
            (json!("up_proj"), false),
            (json!("up_proj|.*down_proj"), false),
            (json!(r"^(?!.*vision).*(?:q_proj|up_proj)$"), true),
        ] {
            assert_eq!(contains(json!({ "target_modules": modules })), Ok(expected), "{modules}");
        }
        let with = |key: &str, value: Value| {
            let mut config = json!({ "target_modules": ["up_proj"] });
            config[key] = value;
            contains(config)
        };
        assert_eq!(with("layers_to_transform", json!([0, 1])), Ok(true));
        assert_eq!(with("layers_to_transform", json!(2)), Ok(false));
        assert_eq!(with("exclude_modules", json!(["mlp.up_proj"])), Ok(false));
        for (key, value) in [
            ("target_modules", json!(3)),
            ("target_modules", json!("(")),
            ("layers_to_transform", json!("1")),
        ] {
            assert!(with(key, value).unwrap_err().contains(key));
        }
    }
}
