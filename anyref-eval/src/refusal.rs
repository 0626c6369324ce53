//! Questions that the model refuses: they count as answers without masks and words, and the
//! evaluation continues.

use super::error::{Error, Result};

/// Separates refusals of a question, as `Ok(Err(reason))`, from other errors.
///
/// # Errors
/// When the error concerns more than this question: a file that cannot be read, or a part that the
/// model lacks.
pub(super) fn or_refused<T>(result: Result<T>) -> Result<Result<T, String>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.refuses_question() => Ok(Err(reason(&error))),
        Err(error) => Err(error),
    }
}

/// Error message on one line.
fn reason(error: &Error) -> String {
    error.to_string().replace('\n', " ")
}

/// Note about the refused questions, by name and reason; `None` when there are none.
pub(super) fn refusals<'a>(
    questions: usize,
    mut refused: impl Iterator<Item = (String, &'a str)>,
) -> Option<String> {
    let (name, reason) = refused.next()?;
    let count = 1 + refused.count();
    Some(format!(
        "{count} of {questions} questions were refused and count as answers without masks and words, first {name}: \
         {reason}."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_refused_and_files_are_not() {
        let box_outside = anyref_core::Error::Box {
            x0: 0.0,
            y0: 0.0,
            x1: 9.0,
            y1: 1.0,
            width: 4,
            height: 4,
        };
        let refused = Error::Item {
            dataset: "item".into(),
            id: "7".into(),
            source: Box::new(box_outside.into()),
        };
        let reason = or_refused(Err::<(), _>(refused)).unwrap().unwrap_err();
        assert!(reason.starts_with("item 7: box 0,0,9,1"), "{reason}");
        let broken = anyref_audio::Error::Empty {
            name: "a.wav".into(),
        };
        assert!(or_refused(Err::<(), _>(anyref_core::Error::from(broken).into())).is_err());
        assert!(or_refused(Err::<(), _>(anyref_core::Error::NoAudioEncoder.into())).is_err());
        assert_eq!(or_refused(Ok(3)).unwrap(), Ok(3));
    }

    #[test]
    fn refusals_are_counted_and_the_first_is_named() {
        let named = [("a".to_owned(), "too short"), ("b".to_owned(), "silent")];
        let line = refusals(5, named.into_iter()).unwrap();
        assert!(line.starts_with("2 of 5 questions") && line.ends_with("first a: too short."));
        assert_eq!(refusals(5, std::iter::empty()), None);
    }
}
