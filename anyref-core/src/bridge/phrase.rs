//! A noun phrase out of an answer.

/// Words that an answer opens with before it comes to the thing, in lower case.
const OPENINGS: [&str; 12] = [
    "the main object in this image is",
    "the main object in the image is",
    "the main object is",
    "the object in this image is",
    "the object in the image is",
    "this image shows",
    "the image shows",
    "the image features",
    "there is",
    "this is",
    "it is",
    "sure,",
];
/// Longest phrase, in words.
const MOST_WORDS: usize = 16;

/// The thing that an answer names, without the sentence around it; none where it names nothing.
pub(super) fn phrase(answer: &str) -> Option<String> {
    let first = answer.split(['.', '\n', '!', '?', ';']);
    let mut rest = first.map(str::trim).find(|sentence| !sentence.is_empty())?;
    while let Some(after) = OPENINGS.iter().find_map(|opening| {
        let head = rest.get(..opening.len())?;
        head.eq_ignore_ascii_case(opening)
            .then(|| rest[opening.len()..].trim_start_matches([' ', ',', ':']))
    }) {
        rest = after;
    }
    let rest = rest.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ','));
    let rest = ["a ", "an "]
        .iter()
        .find_map(|article| rest.strip_prefix(article))
        .unwrap_or(rest);
    // Braces would be taken for places of references.
    let words: Vec<&str> = rest
        .split(|c: char| c.is_whitespace() || "{}<>".contains(c))
        .collect();
    let words: Vec<&str> = words
        .into_iter()
        .filter(|word| !word.is_empty())
        .take(MOST_WORDS)
        .collect();
    let named = words
        .iter()
        .any(|word| word.chars().any(char::is_alphabetic));
    named.then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::phrase;

    #[test]
    fn sentences_are_reduced_to_the_thing() {
        for (answer, expected) in [
            ("a cup of coffee", Some("cup of coffee")),
            (
                "The main object in this image is a red car.",
                Some("red car"),
            ),
            (
                "It is an owl, sitting. It looks at you.",
                Some("owl, sitting"),
            ),
            ("Sure, it is \"the dog\".", Some("the dog")),
            ("cup", Some("cup")),
            ("Antelope", Some("Antelope")),
            ("a {1} <obj>", Some("1 obj")),
            ("  . ?", None),
            ("", None),
            ("12 34", None),
        ] {
            assert_eq!(phrase(answer).as_deref(), expected, "{answer}");
        }
        let long = "word ".repeat(40);
        assert_eq!(phrase(&long).unwrap().split(' ').count(), 16);
    }
}
