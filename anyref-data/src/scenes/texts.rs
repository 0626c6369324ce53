//! Sentences that show a tokenizer every word of the questions and answers.

use anyref_core::DESCRIBE_QUESTION;

use super::instruction::references::{AUDIO_QUESTION, IMAGE_QUESTION};
use super::instruction::text::segment_question;
use super::instruction::{OBJECT, absent_answer};
use super::library::Library;
use super::phrases::{Expression, Group, Side};

/// Every training noun and name in a question and an answer, and every form of phrase. Novel nouns
/// are left out.
pub(crate) fn all(library: &Library) -> Vec<String> {
    let mut texts: Vec<String> = [
        IMAGE_QUESTION,
        AUDIO_QUESTION,
        DESCRIBE_QUESTION,
        "Can you segment the thing that makes {1}, left of {2} in this image?",
        "Can you segment the thing like {1} and the thing that makes {2} in this image?",
    ]
    .map(str::to_owned)
    .into();
    let known = library.nouns(false);
    let mut ask = |expression: Expression| {
        let phrase = expression.text();
        texts.push(segment_question(&phrase));
        texts.push(format!("{phrase}{OBJECT}."));
    };
    for word in ["animal", "vehicle", "plant", "shape"] {
        ask(Expression::Sized(Group::Category(word), true));
        ask(Expression::Sized(Group::Category(word), false));
    }
    ask(Expression::Sized(Group::All, true));
    ask(Expression::Sized(Group::All, false));
    for (i, noun) in known.iter().enumerate() {
        let (side, anchor) = (Side::ALL[i % 4], &known[(i * 7 + 1) % known.len()]);
        ask(Expression::Named(noun.clone()));
        ask(Expression::Every(noun.clone()));
        ask(Expression::Placed(noun.clone(), side));
        ask(Expression::Second(noun.clone(), side));
        ask(Expression::Related(noun.clone(), side, anchor.clone()));
        ask(Expression::Sized(Group::Noun(noun.clone()), i % 2 == 0));
    }
    for cutout in library.cutouts().iter().filter(|c| c.name != c.noun) {
        if known.contains(&cutout.noun) {
            ask(Expression::Named(cutout.name.clone()));
        }
    }
    texts.extend(known.iter().map(|noun| absent_answer(noun)));
    let pairs = known.iter().zip(known.iter().rev());
    texts.extend(pairs.map(|(a, b)| segment_question(&format!("the {a} and the {b}"))));
    texts
}
