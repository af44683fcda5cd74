//! The rotary embedding in the keys of transformers 4 (`rope_theta`, `rope_scaling`) and of
//! transformers 5 (`rope_parameters`), as those of published files.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::keys::{is_same, one_name};

/// `rope_scaling` of the language model.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum RopeScaling {
    /// Positions as they are.
    #[default]
    None,
    /// Positions divided by the factor.
    Linear(f64),
    /// NTK-aware: the base grows once a sequence is longer than `max_position_embeddings`.
    Dynamic(f64),
}

impl TryFrom<Value> for RopeScaling {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if value.is_null() {
            return Ok(Self::None);
        }
        let kind = value.get("type").or_else(|| value.get("rope_type")).and_then(Value::as_str);
        let factor = value.get("factor").and_then(Value::as_f64);
        match (kind, factor) {
            (Some("default"), _) => Ok(Self::None),
            (Some("linear"), Some(factor)) if factor >= 1.0 => Ok(Self::Linear(factor)),
            (Some("dynamic"), Some(factor)) if factor >= 1.0 => Ok(Self::Dynamic(factor)),
            _ => Err(format!(
                "expected type linear or dynamic with a factor of at least 1, found {value}"
            )),
        }
    }
}

impl From<RopeScaling> for Value {
    fn from(scaling: RopeScaling) -> Self {
        match scaling {
            RopeScaling::None => Value::Null,
            RopeScaling::Linear(factor) => json!({ "type": "linear", "factor": factor }),
            RopeScaling::Dynamic(factor) => json!({ "type": "dynamic", "factor": factor }),
        }
    }
}

/// Rewrites the rotary keys of a language model as `rope_theta` and `rope_scaling`.
pub(super) fn one_rope(language: &mut Map<String, Value>) -> Result<(), String> {
    one_name(language, "rope_theta", &["rotary_emb_base", "rope_base"])?;
    let trained = language.get("max_position_embeddings").cloned();
    let (mut theta, mut scaling): (Option<Value>, Option<Value>) = (None, None);
    for key in ["rope_parameters", "rope_scaling"] {
        let Some(found) = language.get(key).filter(|value| !value.is_null()) else {
            continue;
        };
        let text = found.to_string();
        let wrong = |what: String| format!("{key}: {what}, found {text}");
        let Value::Object(mut rope) = found.clone() else {
            return Err(wrong("expected an object".into()));
        };
        rope.retain(|_, value| !value.is_null());
        one_name(&mut rope, "type", &["rope_type"]).map_err(wrong)?;
        agree(&mut theta, rope.remove("rope_theta")).map_err(|_| wrong("two bases".into()))?;
        // Others change the frequencies, but for those that say what is so without them.
        rope.retain(|name, value| match name.as_str() {
            "partial_rotary_factor" => value.as_f64() != Some(1.0),
            "original_max_position_embeddings" => Some(&*value) != trained.as_ref(),
            "mrope_section" => value.as_array().is_none_or(|sections| !sections.is_empty()),
            _ => true,
        });
        if let Some(name) = rope.keys().find(|name| !["type", "factor"].contains(&name.as_str())) {
            return Err(wrong(format!("{name} is not supported")));
        }
        // `rope_parameters` always name their type; without it there is nothing but the base.
        if !rope.is_empty() {
            let value =
                RopeScaling::try_from(Value::Object(rope)).map_err(|e| format!("{key}: {e}"))?;
            agree(&mut scaling, Some(value.into()))
                .map_err(|_| wrong("expected what rope_parameters say".into()))?;
        }
    }
    agree(&mut theta, language.get("rope_theta").filter(|v| !v.is_null()).cloned()).map_err(
        |two| format!("rope_theta: {two}, one of them in rope_parameters or rope_scaling"),
    )?;
    if language.remove("rope_parameters").is_some() || scaling.is_some() {
        language.insert("rope_scaling".into(), scaling.unwrap_or_default());
    }
    if let Some(theta) = theta {
        language.insert("rope_theta".into(), theta);
    }
    Ok(())
}

/// Keeps the one value of a key that several places may hold.
fn agree(known: &mut Option<Value>, found: Option<Value>) -> Result<(), String> {
    match (known.as_ref(), found) {
        (Some(known), Some(found)) if !is_same(known, &found) => {
            Err(format!("expected one value, found {known} and {found}"))
        }
        (Some(_), _) | (None, None) => Ok(()),
        (None, found) => {
            *known = found;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(language: Value) -> Result<(Value, Value), String> {
        let mut language = language.as_object().unwrap().clone();
        one_rope(&mut language)?;
        assert!(!language.contains_key("rope_parameters"));
        let mut take = |key: &str| language.remove(key).unwrap_or_default();
        Ok((take("rope_theta"), take("rope_scaling")))
    }

    #[test]
    fn both_versions_say_the_same() {
        let linear = json!({ "type": "linear", "factor": 2.0 });
        for (language, scaling) in [
            (json!({ "rope_theta": 1e6, "rope_scaling": null }), Value::Null),
            (
                json!({ "rope_parameters": { "rope_theta": 1e6, "rope_type": "default" } }),
                Value::Null,
            ),
            (
                json!({ "rope_theta": 1000000, "rope_parameters": { "rope_theta": 1e6 } }),
                Value::Null,
            ),
            (
                json!({ "rope_theta": 1e6, "rope_scaling": { "rope_type": "linear", "factor": 2 } }),
                linear.clone(),
            ),
            (
                json!({ "rope_parameters": { "rope_theta": 1e6, "rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 1.0 } }),
                linear.clone(),
            ),
            (
                json!({ "rope_scaling": { "rope_theta": 1e6, "type": "linear", "rope_type": "linear", "factor": 2.0 } }),
                linear,
            ),
            // InternVL3's, saved again by transformers 5.
            (
                json!({ "rope_parameters": { "rope_theta": 1e6, "rope_type": "dynamic", "type": "dynamic", "factor": 2.0 } }),
                json!({ "type": "dynamic", "factor": 2.0 }),
            ),
        ] {
            let (theta, found) = read(language.clone()).unwrap();
            assert_eq!((theta.as_f64(), found), (Some(1e6), scaling), "{language}");
        }
    }

    #[test]
    fn what_is_not_computed_is_refused() {
        for (language, word) in [
            (json!({ "rope_theta": 1e4, "rope_parameters": { "rope_theta": 1e6 } }), "rope_theta"),
            (json!({ "rope_parameters": { "rope_type": "yarn", "factor": 4.0 } }), "yarn"),
            (
                json!({ "rope_scaling": { "type": "dynamic", "rope_type": "linear", "factor": 2.0 } }),
                "type",
            ),
            (json!({ "rope_scaling": { "type": "linear" } }), "factor"),
            (
                json!({ "rope_parameters": { "full_attention": { "rope_theta": 1e6 } } }),
                "full_attention",
            ),
            (
                json!({ "rope_scaling": { "type": "linear", "factor": 2.0, "mscale": 1.0 } }),
                "mscale",
            ),
            (
                json!({ "rope_parameters": { "rope_theta": 1e6, "partial_rotary_factor": 0.5 } }),
                "partial",
            ),
            (json!({ "rope_scaling": 3 }), "rope_scaling"),
            (
                json!({ "rope_scaling": { "type": "linear", "factor": 2.0 }, "rope_parameters": { "rope_type": "default" } }),
                "rope_scaling",
            ),
        ] {
            let error = read(language.clone()).unwrap_err();
            assert!(error.contains(word), "{language}: {error}");
        }
    }
}
