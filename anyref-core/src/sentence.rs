//! Answer as people read it, and the words of each of its masks.

use crate::special_tokens::SpecialTokens;

/// Generated answer without the tokens that stand for masks and phrases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    /// The words.
    pub(crate) text: String,
    /// For each mask token in order, start and end in characters of the phrase that it stands for;
    /// none where the answer marks no phrase for it.
    pub(crate) words: Vec<Option<[usize; 2]>>,
}

impl Sentence {
    /// Reads a generated answer, of a model that marks `phrases` or not: tokens give way to blanks,
    /// blanks in a row are one, and there is none before `.` and `,`. A mask stands for the last
    /// phrase since the mask before it, or for the same phrase when it follows it at once.
    pub(crate) fn of(raw: &str, phrases: bool) -> Self {
        let mut sentence = Self {
            text: String::new(),
            words: Vec::new(),
        };
        let (mut length, mut phrase, mut is_open) = (0, None, false);
        let mut rest = raw;
        loop {
            let (words, token, after) = next_token(rest, phrases);
            for word in words.split_whitespace() {
                if length > 0 && !word.starts_with(['.', ',']) {
                    sentence.text.push(' ');
                    length += 1;
                }
                let start = length;
                sentence.text.push_str(word);
                length += word.chars().count();
                phrase = match phrase {
                    Some(Phrase {
                        span: [from, _],
                        is_used: false,
                    }) if is_open => Some(Phrase::new(from, length)),
                    _ if is_open => Some(Phrase::new(start, length)),
                    // A word of its own after a mask: what follows is no second mask of the phrase.
                    Some(Phrase { is_used: true, .. }) => None,
                    other => other,
                };
            }
            match token {
                None => return sentence,
                Some(Token::PhraseStart) => (phrase, is_open) = (None, true),
                Some(Token::PhraseEnd) => is_open = false,
                Some(Token::Mask) => {
                    sentence
                        .words
                        .push(phrase.as_ref().map(|phrase| phrase.span));
                    if let Some(phrase) = &mut phrase {
                        phrase.is_used = true;
                    }
                }
            }
            rest = after;
        }
    }
}

/// A phrase that a mask may stand for.
#[derive(Debug, Clone, Copy)]
struct Phrase {
    span: [usize; 2],
    /// A mask stands for it already.
    is_used: bool,
}

impl Phrase {
    fn new(start: usize, end: usize) -> Self {
        Self {
            span: [start, end],
            is_used: false,
        }
    }
}

/// A token that is no word.
#[derive(Debug, Clone, Copy)]
enum Token {
    Mask,
    PhraseStart,
    PhraseEnd,
}

/// Splits a text at its first token, those of phrases included or not: the words before it, the
/// token, and what follows.
fn next_token(text: &str, phrases: bool) -> (&str, Option<Token>, &str) {
    let tokens = [
        (SpecialTokens::OBJECT, Token::Mask),
        (SpecialTokens::PHRASE[0], Token::PhraseStart),
        (SpecialTokens::PHRASE[1], Token::PhraseEnd),
    ];
    let known = if phrases { tokens.len() } else { 1 };
    let found = tokens.into_iter().take(known).filter_map(|(name, token)| {
        let at = text.find(name)?;
        Some((at, name.len(), token))
    });
    match found.min_by_key(|(at, ..)| *at) {
        Some((at, length, token)) => (&text[..at], Some(token), &text[at + length..]),
        None => (text, None, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> (String, Vec<Option<String>>) {
        let Sentence { text, words } = Sentence::of(raw, true);
        let characters: Vec<char> = text.chars().collect();
        let words = words.into_iter().map(|span| {
            let [start, end] = span?;
            Some(characters[start..end].iter().collect())
        });
        let words = words.collect();
        (text, words)
    }

    fn expect(raw: &str, text: &str, words: &[Option<&str>]) {
        let (found, spans) = read(raw);
        assert_eq!(found, text, "{raw}");
        let words: Vec<_> = words.iter().map(|words| words.map(str::to_owned)).collect();
        assert_eq!(spans, words, "{raw}");
    }

    #[test]
    fn mask_tokens_leave_no_gap() {
        expect(
            "the cat<obj>, the dog <obj>.",
            "the cat, the dog.",
            &[None, None],
        );
        expect("<obj>.", ".", &[None]);
        expect("", "", &[]);
    }

    #[test]
    fn masks_are_tied_to_the_phrases_before_them() {
        expect(
            "<p> Zwei Männer </p> <obj> halten<p> é à </p><obj> .",
            "Zwei Männer halten é à.",
            &[Some("Zwei Männer"), Some("é à")],
        );
        expect(
            "It is <p> a man </p> standing <obj> .",
            "It is a man standing.",
            &[Some("a man")],
        );
        expect(
            "<p> two dogs </p> <obj> <obj> and a cat <obj>",
            "two dogs and a cat",
            &[Some("two dogs"), Some("two dogs"), None],
        );
    }

    #[test]
    fn other_models_have_no_phrases() {
        let found = Sentence::of("an <p> of HTML <obj>", false);
        assert_eq!(found.text, "an <p> of HTML");
        assert_eq!(found.words, [None]);
    }

    #[test]
    fn unfinished_and_empty_phrases_do_no_harm() {
        expect("<p> a man <obj> with", "a man with", &[Some("a man")]);
        expect("<p> </p> <obj> a", "a", &[None]);
        expect("</p> a <p> b", "a b", &[]);
        expect("<p> a <p> b </p> <obj>", "a b", &[Some("b")]);
    }
}
