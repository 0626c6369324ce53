//! Questions built from references.

use crate::prompt_config::{DESCRIBE_QUESTION, PromptConfig, QuestionForm};
use crate::special_tokens::SpecialTokens;
use crate::{Error, Reference, Result};

/// Question with its references, as given by a user.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Question, with `{1}`, `{2}` … in place of the references; `None` is a default question.
    pub question: Option<String>,
    /// References, in the order of their numbers.
    pub references: Vec<Reference>,
}

impl Prompt {
    /// Prompt with the default question about these references.
    pub fn new(references: impl IntoIterator<Item = Reference>) -> Self {
        Self {
            question: None,
            references: references.into_iter().collect(),
        }
    }

    /// Sets a custom question, in which `{1}` stands for the first reference.
    pub fn with_question(mut self, question: impl Into<String>) -> Self {
        self.question = Some(question.into());
        self
    }

    /// Builds the question that asks for masks of the references (the phrases of the paper's
    /// training data).
    ///
    /// # Errors
    /// When there is neither a question nor a reference; also see [`Question::build`].
    pub fn segmentation(&self) -> Result<Question> {
        self.segmentation_for(&PromptConfig::default())
    }

    /// Builds the question like [`segmentation`](Self::segmentation), in the words that a model was
    /// trained with.
    ///
    /// # Errors
    /// See [`segmentation`](Self::segmentation).
    pub fn segmentation_for(&self, config: &PromptConfig) -> Result<Question> {
        let question = match &self.question {
            Some(question) => question.clone(),
            None if self.references.is_empty() => return Err(Error::EmptyPrompt),
            None => default_question(&self.references, config.questions),
        };
        self.asked(&question, config)
    }

    /// Builds the question that asks for a description of the references.
    ///
    /// # Errors
    /// When there are several references without a question, since the default question is about
    /// one; also see [`segmentation`](Self::segmentation).
    pub fn description(&self) -> Result<Question> {
        self.description_for(&PromptConfig::default())
    }

    /// Builds the question like [`description`](Self::description), in the words that a model was
    /// trained with.
    ///
    /// # Errors
    /// See [`description`](Self::description).
    pub fn description_for(&self, config: &PromptConfig) -> Result<Question> {
        let question = match self.question.as_deref() {
            Some(question) => question,
            None if self.references.is_empty() => return Err(Error::EmptyPrompt),
            None => DESCRIBE_QUESTION,
        };
        self.asked(question, config)
    }

    /// Builds a question about the references, without a token of the model in the user's words.
    /// [`DESCRIBE_QUESTION`] gives way to the words that the model was trained with.
    fn asked(&self, question: &str, config: &PromptConfig) -> Result<Question> {
        let question = match question {
            DESCRIBE_QUESTION => config.questions.description(),
            other => other,
        };
        let reserved = config.reserved();
        let phrases = self
            .references
            .iter()
            .filter_map(|reference| match reference {
                Reference::Text(phrase) => Some(phrase.as_str()),
                _ => None,
            });
        for text in phrases.chain([question]) {
            let found = reserved.iter().find(|token| text.contains(token.as_str()));
            if let Some(token) = found {
                return Err(Error::Placeholder {
                    prompt: question.into(),
                    problem: reserved_token(token),
                });
            }
        }
        Question::build(question, &self.references)
    }
}

/// Builds one question that names all references.
fn default_question(references: &[Reference], form: QuestionForm) -> String {
    let phrase = |index: usize, reference: &Reference| match reference {
        Reference::Text(_) => format!("{{{}}}", index + 1),
        Reference::Box(_) | Reference::Mask(_) if form == QuestionForm::Sa2va => {
            format!("{{{}}}", index + 1)
        }
        Reference::Box(_) | Reference::Mask(_) if form == QuestionForm::Glamm => {
            format!("the region {{{}}}", index + 1)
        }
        Reference::Box(_) | Reference::Mask(_) | Reference::Image(_) => {
            format!("object with the following reference {{{}}}", index + 1)
        }
        Reference::Audio(_) => format!("object with the following audio {{{}}}", index + 1),
    };
    let phrases: Vec<_> = references
        .iter()
        .enumerate()
        .map(|(index, reference)| phrase(index, reference))
        .collect();
    let phrases = phrases.join(" and ");
    match form {
        QuestionForm::AnyRef => format!("Can you segment {phrases} in this image?"),
        // LISA's training question that its evaluation also uses (utils/dataset.py).
        QuestionForm::Lisa => {
            format!("What is {phrases} in this image? Please output segmentation mask.")
        }
        QuestionForm::Llava => format!("Describe {phrases} in this image."),
        // Sa2VA's demonstrations ask it too; of GLaMM's training questions it is the one that has
        // no article of its own (dataset/utils/utils.py).
        QuestionForm::Sa2va | QuestionForm::Glamm => {
            format!("Please segment {phrases} in this image.")
        }
    }
}

/// Question with resolved placeholders: phrases are part of the text, other references are empty
/// pairs of markers (`<img_ref></img_ref>`), to be filled with features in order.
#[derive(Debug, Clone)]
pub struct Question {
    /// Text with markers.
    pub text: String,
    /// Index of the reference of each pair of markers, in order.
    pub marked: Vec<usize>,
}

impl Question {
    /// Resolves `{1}`, `{2}` … in `question`.
    ///
    /// # Errors
    /// When a placeholder has no reference or a reference no placeholder, or the question or a
    /// phrase is empty or contains a marker.
    pub fn build(question: &str, references: &[Reference]) -> Result<Self> {
        let problem = |problem: String| Error::Placeholder {
            prompt: question.into(),
            problem,
        };
        if question.trim().is_empty() {
            return Err(Error::EmptyPrompt);
        }
        refuse_markers(question).map_err(problem)?;
        let mut text = String::with_capacity(question.len());
        let mut marked = Vec::new();
        let mut used = vec![false; references.len()];
        let mut rest = question;
        while let Some((before, number, after)) = next_placeholder(rest) {
            text.push_str(before);
            rest = after;
            let index = number.wrapping_sub(1);
            let reference = references.get(index).ok_or_else(|| {
                problem(format!(
                    "names {{{number}}} but there are {} references",
                    references.len()
                ))
            })?;
            used[index] = true;
            let markers = match reference {
                Reference::Text(phrase) if phrase.trim().is_empty() => {
                    return Err(Error::EmptyPrompt);
                }
                Reference::Text(phrase) => {
                    refuse_markers(phrase).map_err(problem)?;
                    text.push_str(phrase.trim());
                    continue;
                }
                Reference::Box(_) | Reference::Mask(_) | Reference::Image(_) => {
                    SpecialTokens::REFERENCE
                }
                Reference::Audio(_) => SpecialTokens::AUDIO,
            };
            text.push_str(markers[0]);
            text.push_str(markers[1]);
            marked.push(index);
        }
        text.push_str(rest);
        match used.iter().position(|used| !used) {
            Some(index) => Err(problem(format!("does not use reference {{{}}}", index + 1))),
            None => Ok(Self { text, marked }),
        }
    }
}

/// Rejects special tokens in a user's words, which would be taken for the prompt's own.
fn refuse_markers(text: &str) -> core::result::Result<(), String> {
    match SpecialTokens::ALL
        .iter()
        .chain(&["<s>", "</s>", "<image>"])
        .find(|t| text.contains(**t))
    {
        Some(token) => Err(reserved_token(token)),
        None => Ok(()),
    }
}

/// Problem of a text that has a token of the model in it.
fn reserved_token(token: &str) -> String {
    format!("contains {token:?}, a token of the model: leave it out")
}

/// Splits a question at its first placeholder, `{1}` or also `{ 1 }`, into the text before it, its
/// number, and the text after it.
pub fn next_placeholder(text: &str) -> Option<(&str, usize, &str)> {
    let mut from = 0;
    loop {
        let open = from + text[from..].find('{')?;
        let close = open + text[open..].find('}')?;
        match text[open + 1..close].trim().parse() {
            Ok(number) => return Some((&text[..open], number, &text[close + 1..])),
            Err(_) => from = open + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(phrase: &str) -> Reference {
        Reference::Text(phrase.into())
    }

    #[test]
    fn phrases_stand_in_the_text_and_boxes_become_markers() {
        let references = [text("the dog"), Reference::Box([0.0, 0.0, 1.0, 1.0])];
        let question = Question::build("find {1} near {2}, not {x}", &references).unwrap();
        assert_eq!(
            question.text,
            "find the dog near <img_ref></img_ref>, not {x}"
        );
        assert_eq!(question.marked, [1]);
        let spaced = Question::build("find { 1 } near {02}, not {x}", &references).unwrap();
        assert_eq!(spaced.text, question.text);
    }

    #[test]
    fn a_placeholder_is_told_from_other_braces() {
        let split = next_placeholder("{x} is { 2 }, not {3}");
        assert_eq!(split, Some(("{x} is ", 2, ", not {3}")));
        assert_eq!(next_placeholder("{x} {1"), None);
    }

    #[test]
    fn the_default_question_names_every_reference() {
        let prompt = Prompt::new([text("the dog")]);
        assert_eq!(
            prompt.segmentation().unwrap().text,
            "Can you segment the dog in this image?"
        );
        let prompt = Prompt::new([text("the dog"), Reference::Box([0.0, 0.0, 1.0, 1.0])]);
        assert_eq!(
            prompt.segmentation().unwrap().text,
            "Can you segment the dog and object with the following reference <img_ref></img_ref> in this image?"
        );
    }

    #[test]
    fn placeholders_and_references_must_match() {
        assert!(Question::build("{2}", &[text("a")]).is_err());
        assert!(Question::build("{0}", &[text("a")]).is_err());
        assert!(Question::build("nothing", &[text("a")]).is_err());
        assert!(Question::build("{1}", &[text("  ")]).is_err());
        assert!(Question::build(" ", &[]).is_err());
        assert!(Question::build("a <obj> b", &[]).is_err());
        assert!(Question::build("{1}", &[text("</img_ref>")]).is_err());
    }
}
