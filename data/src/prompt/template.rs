//! The conversation templates of the InternVL family.

use super::PromptError;
use crate::tokenizer::{IM_END, IM_START};

/// Who speaks a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The fixed opening.
    System,
    /// The image and the question.
    User,
    /// The answer.
    Assistant,
}

/// How a conversation is written, named in a checkpoint's `config.json` under `template`.
///
/// Facts: InternVL's `conversation.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// `internvl2_5`: all MLLMSeg checkpoints and the InternVL2.5 bases.
    InternVl2_5,
    /// `internlm2-chat`: InternVL2 bases on InternLM2.
    InternLm2Chat,
    /// `Hermes-2`: bases on Hermes and Qwen2.
    Hermes2,
    /// `phi3-chat`: bases on Phi-3.
    Phi3Chat,
}

const SYSTEM_2_5: &str = "你是书生·万象，英文名是InternVL，是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。";
const SYSTEM_EARLIER: &str = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";

impl Template {
    /// Every template.
    pub const ALL: [Self; 4] =
        [Self::InternVl2_5, Self::InternLm2Chat, Self::Hermes2, Self::Phi3Chat];

    /// The template of this name in `config.json`.
    ///
    /// # Errors
    /// [`PromptError::UnknownTemplate`], which lists the known names.
    pub fn from_name(name: &str) -> Result<Self, PromptError> {
        let known = || Self::ALL.map(|template| format!("`{}`", template.name())).join(", ");
        Self::ALL
            .into_iter()
            .find(|template| template.name() == name)
            .ok_or_else(|| PromptError::UnknownTemplate { name: name.to_owned(), known: known() })
    }

    /// The name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InternVl2_5 => "internvl2_5",
            Self::InternLm2Chat => "internlm2-chat",
            Self::Hermes2 => "Hermes-2",
            Self::Phi3Chat => "phi3-chat",
        }
    }

    /// What the system turn says.
    pub fn system_text(self) -> &'static str {
        match self {
            Self::InternVl2_5 => SYSTEM_2_5,
            Self::InternLm2Chat | Self::Hermes2 | Self::Phi3Chat => SYSTEM_EARLIER,
        }
    }

    /// What opens a turn.
    pub fn header(self, role: Role) -> &'static str {
        match (self, role) {
            (Self::Phi3Chat, Role::System) => "<|system|>\n",
            (Self::Phi3Chat, Role::User) => "<|user|>\n",
            (Self::Phi3Chat, Role::Assistant) => "<|assistant|>\n",
            (_, Role::System) => "<|im_start|>system\n",
            (_, Role::User) => "<|im_start|>user\n",
            (_, Role::Assistant) => "<|im_start|>assistant\n",
        }
    }

    /// What closes a turn; only `internvl2_5` has a line end in it.
    pub fn separator(self) -> &'static str {
        match self {
            Self::InternVl2_5 => "<|im_end|>\n",
            Self::InternLm2Chat | Self::Hermes2 => "<|im_end|>",
            Self::Phi3Chat => "<|end|>",
        }
    }

    /// The tokens that structure the conversation: the tokenizer must have them, and no text may.
    pub fn markers(self) -> &'static [&'static str] {
        match self {
            Self::Phi3Chat => &["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"],
            _ => &[IM_START, IM_END],
        }
    }

    /// Whether each turn is tokenized on its own. The earlier templates' conversations are
    /// tokenized whole, which differs for tokenizers that treat the start of a text in a way of
    /// their own (Llama's `"legacy": false`).
    pub fn encodes_turns_alone(self) -> bool {
        self == Self::InternVl2_5
    }

    /// The token that ends an answer, where free generation stops.
    pub fn end_token(self) -> &'static str {
        match self {
            Self::Phi3Chat => "<|end|>",
            _ => IM_END,
        }
    }

    /// One turn as it is written.
    pub fn turn(self, role: Role, text: &str) -> String {
        // The published preparation for `internlm2-chat` trims what is said, the others do not.
        let text = if self == Self::InternLm2Chat { text.trim() } else { text };
        format!("{}{text}{}", self.header(role), self.separator())
    }
}
