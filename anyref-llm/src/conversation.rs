//! Conversation templates by name, which format turns as one string.

use crate::error::{Error, Result};

/// Speaker of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// User.
    User,
    /// Model.
    Assistant,
}

/// Turn of a conversation; without text it is open, for the model to complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Speaker of the turn.
    pub role: Role,
    /// Words of the turn.
    pub text: Option<String>,
}

/// Piece of a conversation's string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Text, including separators.
    pub text: String,
    /// Marks text that the model has to produce, on which it is trained.
    pub answer: bool,
}

/// Format of turns as one string (LLaVA's and InternVL's `SeparatorStyle`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeparatorStyle {
    /// Speaker names before their words, and two alternating separators after them (LLaVA's
    /// `SeparatorStyle.TWO`).
    Two,
    /// Questions between `[INST]` and `[/INST]`, with the system text inside the first of them
    /// (LLaVA's `SeparatorStyle.LLAMA_2`).
    Llama2,
    /// Name, text and separator concatenated, for templates with turn tokens. An empty system text
    /// has no separator.
    Mpt,
}

/// Conversation in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Format of the turns.
    pub style: SeparatorStyle,
    /// Text before the first turn.
    pub system: String,
    /// Name of the user, where speakers are named.
    pub user: String,
    /// Name of the model, where speakers are named.
    pub assistant: String,
    /// Separator after the system text and after the user's turns; with [`SeparatorStyle::Llama2`]
    /// before every question but the first, which the tokenizer begins.
    pub sep: String,
    /// Separator after the model's turns.
    pub sep2: String,
    /// Tokens that end an answer.
    pub stop_words: Vec<String>,
    /// Turns of the conversation.
    pub turns: Vec<Turn>,
}

/// Creates an empty conversation in LLaVA's `v1` template (`conv_llava_v1`).
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

/// Creates an empty conversation in LLaVA's template for LLaMA 2 (`conv_llava_llama_2`).
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

/// Creates an empty conversation in XTuner's `qwen_chat` template, without a system text, as in
/// Sa2VA.
pub fn qwen_chat() -> Conversation {
    let stop_words = ["<|im_end|>", "<|endoftext|>"];
    turn_tokens(
        ["<|im_start|>user\n", "<|im_start|>assistant\n"],
        &stop_words,
    )
}

/// Creates an empty conversation in XTuner's `internlm2_chat` template, without a system text. The
/// second stop word is the end of InternLM 2's tokenizer, at which Sa2VA's code stops too.
pub fn internlm2_chat() -> Conversation {
    let stop_words = ["<|im_end|>", "</s>"];
    turn_tokens(
        ["<|im_start|>user\n", "<|im_start|>assistant\n"],
        &stop_words,
    )
}

/// Creates an empty conversation in XTuner's `phi3_chat` template, without a system text.
pub fn phi3_chat() -> Conversation {
    turn_tokens(["<|user|>\n", "<|assistant|>\n"], &["<|end|>"])
}

/// Creates a template whose turns end with the first stop word and a line feed.
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

/// Names of the templates known to [`Conversation::by_name`].
pub const TEMPLATES: [&str; 5] = [
    "llava_v1",
    "llava_llama_2",
    "qwen_chat",
    "internlm2_chat",
    "phi3_chat",
];

impl Conversation {
    /// Creates an empty conversation in a template by its name in Sa2VA's `config.json`
    /// (`template`), where hyphens stand for underscores.
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

    /// Adds an open turn of the model, so that the string ends where the model continues.
    pub fn open(mut self) -> Self {
        self.turns.push(Turn {
            role: Role::Assistant,
            text: None,
        });
        self
    }

    /// Formats the conversation as one string.
    pub fn prompt(&self) -> String {
        self.pieces().into_iter().map(|piece| piece.text).collect()
    }

    /// Splits the conversation where the model begins and ends to speak; the concatenated pieces
    /// equal [`prompt`](Self::prompt). The piece of an answer begins after the model's name or
    /// `[/INST]` and ends with `sep2`.
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
