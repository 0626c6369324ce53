//! Penn Treebank tokens as Stanford's tokenizer cuts them for pycocoevalcap, without Java.
//!
//! Equal to it are clitics ("man 's", "ca n't"), "can not" and "gon na", words joined by hyphens
//! and slashes, abbreviations and initials with their point, numbers, times and amounts, smileys,
//! and brackets as `-lrb-`; all in lower case, without punctuation. Brackets stay although
//! pycocoevalcap's list of removed tokens has them, because the list has them in capitals and the
//! tokens are in lower case.
//!
//! Different are tags with spaces (`<two words>`), addresses without `http` or `@` followed by a
//! path, fractions with a space (`1 1/2`), which are one word there, rare abbreviations, and other
//! scripts than Latin, of which Stanford's joins or drops some characters. On 951 expressions of
//! RefCOCO and 796 captions of COCO there was no difference; of 2,889 lines of licences and manuals
//! 14 were cut otherwise.

use std::sync::LazyLock;

use regex::Regex;

/// Words of a text.
pub(super) type Words = Vec<String>;

/// Tokens that pycocoevalcap removes, and quotation marks of other shapes, which it first converts
/// to them.
const REMOVED: [&str; 21] = [
    "''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", "\"", "“", "”", "‘", "’",
    "…", "«", "»",
];

/// Abbreviations that keep their point.
const ABBREVIATIONS: [&str; 61] = [
    "adm", "al", "apr", "aug", "ave", "blvd", "bros", "capt", "cf", "cmdr", "co", "col", "corp",
    "cpl", "dec", "dept", "dr", "etc", "feb", "fri", "ft", "gen", "gov", "hon", "inc", "jan", "jr",
    "lt", "ltd", "maj", "mon", "mr", "mrs", "ms", "mt", "nov", "oct", "ph.d", "pres", "prof",
    "pvt", "rd", "rep", "rev", "rt", "sen", "sep", "sept", "sgt", "sr", "st", "thu", "thurs",
    "tue", "tues", "vs", "wed", "mssrs", "messrs", "univ", "assn",
];

/// Abbreviations that keep their point before a number only.
const BEFORE_NUMBERS: [&str; 2] = ["no", "p"];

/// Words that are split in two, with the position of the split.
const JOINED: [(&str, usize); 8] = [
    ("cannot", 3),
    ("gonna", 3),
    ("gotta", 3),
    ("gimme", 3),
    ("lemme", 3),
    ("wanna", 3),
    ("'tis", 2),
    ("'twas", 2),
];

/// Tokens that are replaced by another word.
const REPLACED: [(&str, &str); 19] = [
    ("&amp;", "&"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "''"),
    ("&apos;", "'"),
    ("(", "-lrb-"),
    (")", "-rrb-"),
    ("[", "-lsb-"),
    ("]", "-rsb-"),
    ("{", "-lcb-"),
    ("}", "-rcb-"),
    ("–", "--"),
    ("—", "--"),
    ("½", "1/2"),
    ("¼", "1/4"),
    ("¾", "3/4"),
    ("£", "#"),
    ("€", "$"),
    ("¢", "cents"),
];

/// Constraint on the character after a token.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Anything,
    /// No letter or digit.
    End,
    /// No letter or digit, and no character that joins words.
    NumberEnd,
    /// "am" or "pm" after a time.
    HalfOfDay,
}

impl Then {
    fn allows(self, rest: &str) -> bool {
        let next = rest.chars().next();
        let letter = next.is_some_and(|c| c.is_alphanumeric() || c == '_');
        match self {
            Self::Anything => true,
            Self::End => !letter,
            Self::NumberEnd => !letter && !matches!(next, Some('/' | '-')),
            Self::HalfOfDay => ["am", "pm"].iter().any(|half| {
                rest.strip_prefix(half)
                    .is_some_and(|rest| Self::End.allows(rest))
            }),
        }
    }
}

/// Kind of token: its pattern, and the constraint on the next character.
type Rule = (Regex, Then);

/// Kinds of tokens, tried in this order.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    const WORD: &str = r"(?:[\p{L}\p{N}]+(?:_+[\p{L}\p{N}]+)*)";
    const LETTERED: &str = r"(?:\p{L}[\p{L}\p{N}]*(?:_+[\p{L}\p{N}]+)*)";
    [
        (r"&(?:amp|lt|gt|quot|apos);".to_owned(), Then::Anything),
        (r"</?[a-z][^<>\s]*>".to_owned(), Then::Anything),
        (r#"https?://[^\s"<>|(){}]+"#.to_owned(), Then::Anything),
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+".to_owned(), Then::Anything),
        (r"[:;=][-']?[()dp]".to_owned(), Then::End),
        (r"xd".to_owned(), Then::End),
        (r"\^_\^|-_-".to_owned(), Then::Anything),
        (r"\(\d{3}\)".to_owned(), Then::Anything),
        (r"\d{1,2}:\d\d".to_owned(), Then::HalfOfDay),
        (r"[@#][a-z_]\w*".to_owned(), Then::Anything),
        (r"(?:[a-z]\.)+".to_owned(), Then::End),
        (
            r"[-+]?(?:\d+(?:[.,:/]\d+)+|\.\d+|\d+)".to_owned(),
            Then::NumberEnd,
        ),
        (format!("{WORD}(?:[-/]{WORD})+"), Then::Anything),
        (format!("{WORD}(?:[.!?]{LETTERED})*"), Then::Anything),
        (r"'(?:em|til|cause|n'|\d0s|tis|twas)".to_owned(), Then::End),
        (r"['’](?:s|m|d|ll|re|ve)".to_owned(), Then::End),
        (
            r"\.{3}|-+|[!?]+|\#+|\*+|_+|``|''|.".to_owned(),
            Then::Anything,
        ),
    ]
    .map(|(pattern, then)| {
        let anchored = Regex::new(&format!("^(?:{pattern})")).expect("a valid pattern");
        (anchored, then)
    })
    .into()
});

/// Tokens of a sentence.
pub fn tokenize(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut words = Vec::new();
    let mut pieces = lower.split_whitespace().peekable();
    while let Some(piece) = pieces.next() {
        let number_follows = pieces.peek().is_some_and(|next| is_number(next));
        cut(piece, number_follows, &mut words);
    }
    words.retain(|word| !REMOVED.contains(&word.as_str()));
    words
}

/// Splits the text between two spaces.
fn cut(piece: &str, number_follows: bool, words: &mut Vec<String>) {
    let mut rest = piece;
    if let Some(length) = elision(rest) {
        words.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    while !rest.is_empty() {
        let found = RULES.iter().find_map(|(rule, then)| {
            let end = rule.find(rest)?.end();
            then.allows(&rest[end..]).then_some(end)
        });
        let (word, after) = rest.split_at(found.unwrap_or(rest.len()));
        rest = after;
        if let Some((_, at)) = JOINED.iter().find(|(joined, _)| *joined == word) {
            words.extend([word[..*at].to_owned(), word[*at..].to_owned()]);
        } else if let Some(after) = negation(word, rest) {
            words.extend([word[..word.len() - 1].to_owned(), "n't".to_owned()]);
            rest = after;
        } else if keeps_point(word, rest, number_follows) {
            words.push(format!("{word}."));
            rest = &rest[1..];
        } else {
            words.push(replaced(word));
        }
    }
}

/// Length of "y'" before "all", and of words such as "o'clock" and "d'you".
fn elision(piece: &str) -> Option<usize> {
    const CLITICS: [&str; 6] = ["s", "m", "d", "ll", "re", "ve"];
    let (head, tail) = piece.split_once('\'')?;
    let letters = tail
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(tail.len());
    match head {
        "y" if ["all", "know"].contains(&&tail[..letters]) => Some(2),
        "d" | "o" | "l" if letters > 0 && !CLITICS.contains(&&tail[..letters]) => Some(2 + letters),
        _ => None,
    }
}

/// Rest after "n't", when the word ends with its "n".
fn negation<'a>(word: &str, rest: &'a str) -> Option<&'a str> {
    let after = rest
        .strip_prefix("'t")
        .or_else(|| rest.strip_prefix("’t"))?;
    (word.len() > 1 && word.ends_with('n') && Then::End.allows(after)).then_some(after)
}

fn keeps_point(word: &str, rest: &str, number_follows: bool) -> bool {
    let Some(after) = rest.strip_prefix('.') else {
        return false;
    };
    let number_follows = number_follows && after.is_empty() || is_number(after);
    !after.starts_with('.')
        && (ABBREVIATIONS.contains(&word) || number_follows && BEFORE_NUMBERS.contains(&word))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// Token in the tokenizer's spelling.
fn replaced(word: &str) -> String {
    if let Some((_, other)) = REPLACED.iter().find(|(from, _)| *from == word) {
        return (*other).to_owned();
    }
    if word.len() < 5 && word.bytes().all(|b| b == b'-') {
        return "--".to_owned();
    }
    // Brackets within smileys, clitics and area codes.
    word.replace('(', "-lrb-")
        .replace(')', "-rrb-")
        .replace('’', "'")
}
