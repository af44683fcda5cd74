//! The conversation templates of the InternVL family.

use super::error::PromptError;
use crate::tokenizer::{IM_END, IM_START};
use strum::{IntoStaticStr, VariantArray};

/// How a conversation is written, named in a checkpoint's `config.json` under `template`.
///
/// Facts: InternVL's `conversation.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
pub enum Template {
    /// `internvl2_5`: all MLLMSeg checkpoints and the InternVL2.5 bases.
    #[strum(serialize = "internvl2_5")]
    InternVl2_5,
    /// `internlm2-chat`: InternVL2 bases on InternLM2.
    #[strum(serialize = "internlm2-chat")]
    InternLm2Chat,
    /// `Hermes-2`: bases on Hermes and Qwen2.
    #[strum(serialize = "Hermes-2")]
    Hermes2,
}

const SYSTEM_2_5: &str = "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。";
const SYSTEM_EARLIER: &str = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";

impl Template {
    /// Every template.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The template of this name in `config.json`.
    ///
    /// # Errors
    /// [`PromptError::Unsuitable`], which lists the known names.
    pub fn from_name(name: &str) -> Result<Self, PromptError> {
        Self::ALL.iter().copied().find(|template| template.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|one| format!("`{}`", one.name())).collect();
            let known = known.join(", ");
            let expected =
                format!("one of {known}; check `template` in the checkpoint's config.json");
            PromptError::unsuitable(format!("template `{name}` is not known"), expected)
        })
    }

    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What the system turn says.
    pub fn system_text(self) -> &'static str {
        match self {
            Self::InternVl2_5 => SYSTEM_2_5,
            Self::InternLm2Chat | Self::Hermes2 => SYSTEM_EARLIER,
        }
    }

    /// What follows the token that ends a turn.
    pub fn line_end(self) -> &'static str {
        match self {
            Self::InternVl2_5 => "\n",
            Self::InternLm2Chat | Self::Hermes2 => "",
        }
    }

    /// The token that ends an answer, where free generation stops.
    pub fn end_token(self) -> &'static str {
        IM_END
    }

    /// What opens the turn of `role`: `system`, `user` or `assistant`.
    pub fn header(role: &str) -> String {
        format!("{IM_START}{role}\n")
    }

    /// One turn as it is written.
    pub fn turn(self, role: &str, text: &str) -> String {
        // The published preparation for `internlm2-chat` trims the text, the others do not.
        let text = if self == Self::InternLm2Chat { text.trim() } else { text };
        format!("{}{text}{IM_END}{}", Self::header(role), self.line_end())
    }
}
