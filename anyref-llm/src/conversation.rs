//! Conversation templates: what is said, as one string.

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

/// Way from turns to one string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeparatorStyle {
    /// Names of the speakers before their words, and two separators after them (LLaVA's
    /// `SeparatorStyle.TWO`).
    Two,
    /// Questions between `[INST]` and `[/INST]`, the system text inside the first of them (LLaVA's
    /// `SeparatorStyle.LLAMA_2`).
    Llama2,
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
        turns: Vec::new(),
    }
}

impl Conversation {
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
    /// [`prompt`](Self::prompt). An answer's piece begins after `ASSISTANT:` or `[/INST]` and ends
    /// with `sep2`.
    pub fn pieces(&self) -> Vec<Piece> {
        match self.style {
            SeparatorStyle::Two => self.pieces_with_names(),
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
        let mut text = format!("{}{}", self.system, self.sep);
        for turn in &self.turns {
            let name = match turn.role {
                Role::User => &self.user,
                Role::Assistant => &self.assistant,
            };
            text.push_str(name);
            text.push(':');
            match (turn.role, &turn.text) {
                (_, None) => {}
                (Role::User, Some(said)) => {
                    text.push_str(&format!(" {said}{}", self.sep));
                }
                (Role::Assistant, Some(said)) => {
                    pieces.push(Piece {
                        text: std::mem::take(&mut text),
                        answer: false,
                    });
                    pieces.push(Piece {
                        text: format!(" {said}{}", self.sep2),
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
