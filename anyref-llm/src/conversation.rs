//! Conversation templates by name: what is said, as one string.

use crate::error::{Error, Result};

/// Speaker of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// A turn of a conversation; without text it is open, for the model to fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// Words of the turn.
    pub text: Option<String>,
}

/// A piece of a conversation's string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text, its separators included.
    pub text: String,
    /// Whether the model is to say it, so that it is learnt in training.
    pub answer: bool,
}

/// Way from turns to one string (LLaVA's and InternVL's `SeparatorStyle`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeparatorStyle {
    /// Names of the speakers before their words, and two separators after them (LLaVA's
    /// `SeparatorStyle.TWO`).
    Two,
    /// Questions between `[INST]` and `[/INST]`, the system text inside the first of them (LLaVA's
    /// `SeparatorStyle.LLAMA_2`).
    Llama2,
    /// Name, text and separator as they are, of templates with tokens for turns. An empty system
    /// text has no separator.
    Mpt,
}

/// A conversation in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Way from turns to one string.
    pub style: SeparatorStyle,
    /// Text before the first turn.
    pub system: String,
    /// Name of the one who asks, where speakers are named.
    pub user: String,
    /// Name of the model, where speakers are named.
    pub assistant: String,
    /// After the system text and after the user's turns; of [`SeparatorStyle::Llama2`] before every
    /// question but the first, which the tokenizer begins.
    pub sep: String,
    /// After the model's turns.
    pub sep2: String,
    /// Tokens that end an answer.
    pub stop_words: Vec<String>,
    /// Turns so far.
    pub turns: Vec<Turn>,
}

/// An empty conversation in LLaVA's `v1` template (`conv_llava_v1`).
pub fn llava_v1() -> Conversation {
    Conversation {
        style: SeparatorStyle::Two,
        system: "A chat between a curious human and an artificial intelligence assistant. \
                 The assistant gives helpful, detailed, and polite answers to the human's questions."
            .into(),
        user: "USER".into(),
        assistant: "ASSISTANT".into(),
        sep: " ".into(),
        sep2: "</s>".into(),
        stop_words: vec!["</s>".into()],
        turns: Vec::new(),
    }
}

/// An empty conversation in LLaVA's template for LLaMA 2 (`conv_llava_llama_2`).
pub fn llava_llama_2() -> Conversation {
    Conversation {
        style: SeparatorStyle::Llama2,
        system: "You are a helpful language and vision assistant. You are able to understand the \
                 visual content that the user provides, and assist the user with a variety of \
                 tasks using natural language."
            .into(),
        user: "USER".into(),
        assistant: "ASSISTANT".into(),
        sep: "<s>".into(),
        sep2: "</s>".into(),
        stop_words: vec!["</s>".into()],
        turns: Vec::new(),
    }
}

/// An empty conversation in XTuner's `qwen_chat` template, without a system text, as Sa2VA asks.
pub fn qwen_chat() -> Conversation {
    let stop_words = ["<|im_end|>", "<|endoftext|>"];
    turn_tokens(
        ["<|im_start|>user\n", "<|im_start|>assistant\n"],
        &stop_words,
    )
}

/// An empty conversation in XTuner's `internlm2_chat` template, without a system text.
pub fn internlm2_chat() -> Conversation {
    let stop_words = ["<|im_end|>"];
    turn_tokens(
        ["<|im_start|>user\n", "<|im_start|>assistant\n"],
        &stop_words,
    )
}

/// An empty conversation in XTuner's `phi3_chat` template, without a system text.
pub fn phi3_chat() -> Conversation {
    turn_tokens(["<|user|>\n", "<|assistant|>\n"], &["<|end|>"])
}

/// A template whose turns end by the first stop word and a line feed.
fn turn_tokens([user, assistant]: [&str; 2], stop_words: &[&str]) -> Conversation {
    let end = format!("{}\n", stop_words[0]);
    Conversation {
        style: SeparatorStyle::Mpt,
        system: String::new(),
        user: user.into(),
        assistant: assistant.into(),
        sep: end.clone(),
        sep2: end,
        stop_words: stop_words.iter().map(|&word| word.to_owned()).collect(),
        turns: Vec::new(),
    }
}

/// Names of the templates that [`Conversation::by_name`] knows.
pub const TEMPLATES: [&str; 5] = [
    "llava_v1",
    "llava_llama_2",
    "qwen_chat",
    "internlm2_chat",
    "phi3_chat",
];

impl Conversation {
    /// The empty conversation of a template by its name in Sa2VA's `config.json` (`template`),
    /// where hyphens stand for underscores.
    ///
    /// # Errors
    /// When no template has this name.
    pub fn by_name(name: &str) -> Result<Self> {
        match name.replace('-', "_").as_str() {
            "llava_v1" => Ok(llava_v1()),
            "llava_llama_2" => Ok(llava_llama_2()),
            "qwen_chat" => Ok(qwen_chat()),
            "internlm2_chat" => Ok(internlm2_chat()),
            "phi3_chat" => Ok(phi3_chat()),
            _ => Err(Error::ChatTemplate {
                what: format!("`{name}`"),
                problem: format!("no template has this name; known: {}", TEMPLATES.join(", ")),
            }),
        }
    }

    /// Adds a question.
    pub fn ask(mut self, text: impl Into<String>) -> Self {
        self.turns.push(Turn {
            role: Role::User,
            text: Some(text.into()),
        });
        self
    }

    /// Adds an answer.
    pub fn answer(mut self, text: impl Into<String>) -> Self {
        self.turns.push(Turn {
            role: Role::Assistant,
            text: Some(text.into()),
        });
        self
    }

    /// Adds an open turn of the model, so that the string ends where the model goes on.
    pub fn open(mut self) -> Self {
        self.turns.push(Turn {
            role: Role::Assistant,
            text: None,
        });
        self
    }

    /// The whole conversation as one string.
    pub fn prompt(&self) -> String {
        self.pieces().into_iter().map(|piece| piece.text).collect()
    }

    /// The conversation cut where the model begins and ends to speak; the pieces joined are
    /// [`prompt`](Self::prompt). An answer's piece begins after the model's name or `[/INST]` and
    /// ends with `sep2`.
    pub fn pieces(&self) -> Vec<Piece> {
        match self.style {
            SeparatorStyle::Two | SeparatorStyle::Mpt => self.pieces_with_names(),
            SeparatorStyle::Llama2 => self.pieces_in_brackets(),
        }
    }

    fn pieces_in_brackets(&self) -> Vec<Piece> {
        let asked = |index: usize, said: &str| match index {
            0 => format!(
                "[INST] <<SYS>>\n{}\n<</SYS>>\n\n{said} [/INST]",
                self.system
            ),
            _ => format!("{}[INST] {said} [/INST]", self.sep),
        };
        let piece = |(index, turn): (usize, &Turn)| {
            let said = turn.text.as_ref()?;
            let answer = turn.role == Role::Assistant;
            let text = match answer {
                true => format!(" {said} {}", self.sep2),
                false => asked(index, said),
            };
            Some(Piece { text, answer })
        };
        self.turns.iter().enumerate().filter_map(piece).collect()
    }

    fn pieces_with_names(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (after_name, before_text) = match self.style {
            SeparatorStyle::Two => (":", " "),
            SeparatorStyle::Mpt | SeparatorStyle::Llama2 => ("", ""),
        };
        let mut text = match (self.style, self.system.as_str()) {
            (SeparatorStyle::Mpt, "") => String::new(),
            (_, system) => format!("{system}{}", self.sep),
        };
        for turn in &self.turns {
            let name = match turn.role {
                Role::User => &self.user,
                Role::Assistant => &self.assistant,
            };
            text.push_str(name);
            text.push_str(after_name);
            match (turn.role, &turn.text) {
                (_, None) => {}
                (Role::User, Some(said)) => {
                    text.push_str(&format!("{before_text}{said}{}", self.sep));
                }
                (Role::Assistant, Some(said)) => {
                    pieces.push(Piece {
                        text: std::mem::take(&mut text),
                        answer: false,
                    });
                    pieces.push(Piece {
                        text: format!("{before_text}{said}{}", self.sep2),
                        answer: true,
                    });
                }
            }
        }
        if !text.is_empty() {
            pieces.push(Piece {
                text,
                answer: false,
            });
        }
        pieces
    }
}
