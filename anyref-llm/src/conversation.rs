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

/// A conversation in a template with two separators (LLaVA's `SeparatorStyle.TWO`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Text before the first turn.
    pub system: String,
    /// Name of the one who asks.
    pub user: String,
    /// Name of the model.
    pub assistant: String,
    /// After the system text and after the user's turns.
    pub sep: String,
    /// After the model's turns.
    pub sep2: String,
    /// Turns so far.
    pub turns: Vec<Turn>,
}

/// An empty conversation in LLaVA's `v1` template (`conv_llava_v1`).
pub fn llava_v1() -> Conversation {
    Conversation {
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
    /// [`prompt`](Self::prompt). An answer's piece begins after `ASSISTANT:` and ends with `sep2`.
    pub fn pieces(&self) -> Vec<Piece> {
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
