//! The two layouts of a checkpoint folder.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::mllmseg::published_json;
use super::native::{from_published, is_native};

/// How a folder names its tensors and the keys of its `config.json`. The mask decoder has the same names
/// in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// That of OpenGVLab's InternVL and of the published MLLMSeg models.
    InternVl,
    /// That of transformers' own `InternVLForConditionalGeneration`.
    Transformers,
}

impl Layout {
    /// The layout of a `config.json`.
    pub fn of(file: &Value) -> Self {
        match file.as_object().is_some_and(is_native) {
            true => Self::Transformers,
            false => Self::InternVl,
        }
    }

    /// The content of a `config.json` of either layout, in this one. Keys that neither knows stay.
    ///
    /// # Errors
    /// What is not read, and what this layout has no place for, by its key.
    pub fn config_json(self, file: Value) -> Result<Value, String> {
        let file = published_json(file)?;
        match self {
            Self::InternVl => Ok(file),
            Self::Transformers => from_published(file),
        }
    }

    /// Says in a `config.json` of this layout whether one token table stands for two.
    pub fn set_tied(self, file: &mut Value, is_tied: bool) {
        let sections: &[&str] = match self {
            Self::InternVl => &["/llm_config"],
            Self::Transformers => &["", "/text_config"], // version 5's place, and version 4's
        };
        for keys in sections {
            if let Some(Value::Object(keys)) = file.pointer_mut(keys) {
                keys.insert("tie_word_embeddings".into(), is_tied.into());
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::InternVl => "internvl",
            Self::Transformers => "transformers",
        }
    }
}

impl Display for Layout {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = [Self::InternVl, Self::Transformers].into_iter();
        let found = all.find(|layout| layout.name() == text);
        found.ok_or_else(|| format!("expected internvl or transformers, found {text:?}"))
    }
}
