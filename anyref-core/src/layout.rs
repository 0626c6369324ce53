//! Layout of the spliced sequence: text, picture and reference positions.
//!
//! The authors shift every index by a constant 255, the length of one picture. Here positions are
//! counted from the spliced features, so they are correct for any number of references of any
//! length.

use serde::{Deserialize, Serialize};

use crate::special_tokens::SpecialTokens;
use crate::{Error, Result};

/// Content of one position of the language model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Token of the vocabulary.
    Token(u32),
    /// Patch of the picture in question.
    Image(usize),
    /// Feature of a reference.
    Reference {
        /// Index of the reference in the bank.
        index: usize,
        /// Index of the feature within the reference.
        part: usize,
    },
}

/// Spliced sequence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    slots: Vec<Slot>,
}

impl Layout {
    /// Expands token ids: `image_tokens` patches follow the picture's first marker, and the
    /// features of the next reference follow each first marker of a reference, or replace a
    /// region's token. `references` lists index in the bank and number of features, in the order of
    /// the markers.
    ///
    /// # Errors
    /// When the numbers of markers and of references differ.
    pub fn new(
        ids: &[u32],
        special: &SpecialTokens,
        image_tokens: usize,
        references: &[(usize, usize)],
    ) -> Result<Self> {
        let mut slots = Vec::with_capacity(ids.len() + image_tokens);
        let mut pending = references.iter();
        let mut markers = 0;
        for &id in ids {
            let replaced = special.region == Some(id);
            if !replaced {
                slots.push(Slot::Token(id));
            }
            if special.image_start == Some(id) {
                slots.extend((0..image_tokens).map(Slot::Image));
            } else if replaced || [special.reference_start, special.audio_start].contains(&Some(id))
            {
                markers += 1;
                if let Some(&(index, length)) = pending.next() {
                    slots.extend((0..length).map(|part| Slot::Reference { index, part }));
                }
            }
        }
        if markers != references.len() {
            return Err(Error::Markers {
                markers,
                references: references.len(),
            });
        }
        Ok(Self { slots })
    }

    /// Shifts the reference indices so that they count from `first` in a bank.
    pub(crate) fn with_references_from(mut self, first: usize) -> Self {
        for slot in &mut self.slots {
            if let Slot::Reference { index, .. } = slot {
                *index += first;
            }
        }
        self
    }

    /// Slots, in order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns whether there are no positions.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Appends the patches of the picture in question.
    pub(crate) fn extend_image(&mut self, image_tokens: usize) {
        self.slots.extend((0..image_tokens).map(Slot::Image));
    }

    /// Appends tokens.
    pub fn extend(&mut self, ids: &[u32]) {
        self.slots.extend(ids.iter().copied().map(Slot::Token));
    }
}

/// Origin of the vector of one `<obj>`, in absolute positions of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectSpan {
    /// State that predicts `<obj>`.
    pub position: usize,
    /// First state of the refocusing span: the one before the answer's first token, or the previous
    /// `<obj>`.
    pub start: usize,
}

/// State of the language model that prompts the mask decoder for an `<obj>`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectState {
    /// State at the position before `<obj>`, which predicts it: AnyRef's and LISA's.
    #[default]
    Predicting,
    /// State at the position of `<obj>`, where it is an input: Sa2VA's. An `<obj>` at the end of an
    /// answer that was cut off was never an input, and has none.
    Own,
}

impl ObjectState {
    /// Whether it is AnyRef's, which configs leave out.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Finds the span of every `<obj>` that has such a state, in an `answer` whose first token is
    /// at `answer_start` and whose first `read` tokens were inputs; `object` is the id of `<obj>`.
    pub fn spans(
        self,
        answer: &[u32],
        object: u32,
        answer_start: usize,
        read: usize,
    ) -> Vec<ObjectSpan> {
        let mut spans = object_spans(answer, object, answer_start);
        if self == Self::Own {
            spans.iter_mut().for_each(|span| span.position += 1);
            spans.retain(|span| span.position < answer_start + read);
        }
        spans
    }
}

/// Finds the spans of every `<obj>` in an answer whose first token is at `answer_start`.
///
/// The state before the answer predicts its first token, so an `<obj>` at answer index `j` is
/// predicted at `answer_start + j - 1`.
///
/// # Panics
/// When `answer_start` is 0, since at least the begin-of-sequence token precedes an answer.
pub fn object_spans(answer: &[u32], object: u32, answer_start: usize) -> Vec<ObjectSpan> {
    assert!(answer_start > 0, "something stands before an answer");
    let mut start = answer_start - 1;
    let mut spans = Vec::new();
    for (index, &id) in answer.iter().enumerate() {
        if id == object {
            spans.push(ObjectSpan {
                position: answer_start + index - 1,
                start,
            });
            start = answer_start + index;
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: SpecialTokens = SpecialTokens {
        object: Some(10),
        image_start: Some(11),
        image_end: Some(12),
        audio_start: Some(13),
        audio_end: Some(14),
        reference_start: Some(15),
        reference_end: Some(16),
        region: None,
        end: 2,
    };

    #[test]
    fn pictures_and_references_are_expanded_in_place() {
        let ids = [1, 11, 12, 5, 15, 16, 13, 14, 6];
        let layout = Layout::new(&ids, &SPECIAL, 2, &[(7, 1), (3, 2)]).unwrap();
        let reference = |index, part| Slot::Reference { index, part };
        assert_eq!(
            layout.slots(),
            [
                Slot::Token(1),
                Slot::Token(11),
                Slot::Image(0),
                Slot::Image(1),
                Slot::Token(12),
                Slot::Token(5),
                Slot::Token(15),
                reference(7, 0),
                Slot::Token(16),
                Slot::Token(13),
                reference(3, 0),
                reference(3, 1),
                Slot::Token(14),
                Slot::Token(6),
            ]
        );
    }

    #[test]
    fn a_region_stands_in_the_place_of_its_token() {
        let special = SpecialTokens {
            region: Some(17),
            ..SPECIAL
        };
        let layout = Layout::new(&[5, 17, 6], &special, 2, &[(1, 1)]).unwrap();
        let region = Slot::Reference { index: 1, part: 0 };
        assert_eq!(layout.slots(), [Slot::Token(5), region, Slot::Token(6)]);
        assert!(Layout::new(&[5, 17, 17], &special, 2, &[(0, 1)]).is_err());
    }

    #[test]
    fn markers_and_references_must_agree() {
        assert!(Layout::new(&[15, 16], &SPECIAL, 2, &[]).is_err());
        assert!(Layout::new(&[5], &SPECIAL, 2, &[(0, 4)]).is_err());
    }

    #[test]
    fn spans_reach_from_the_prompt_or_the_previous_object() {
        // Positions 20 21 22 23 24 25, each predicted by the previous one.
        let spans = object_spans(&[4, 10, 5, 6, 10, 2], 10, 20);
        assert_eq!(
            spans,
            [
                ObjectSpan {
                    position: 20,
                    start: 19
                },
                ObjectSpan {
                    position: 23,
                    start: 21
                }
            ]
        );
        assert_eq!(
            object_spans(&[10], 10, 20),
            [ObjectSpan {
                position: 19,
                start: 19
            }]
        );
        assert!(object_spans(&[4, 2], 10, 20).is_empty());
    }

    #[test]
    fn own_states_are_one_later_and_the_last_token_may_have_none() {
        let answer = [4, 10, 5, 10];
        let positions = |state: ObjectState, read| {
            let spans = state.spans(&answer, 10, 20, read).into_iter();
            spans.map(|span| span.position).collect::<Vec<_>>()
        };
        assert_eq!(positions(ObjectState::Predicting, 3), [20, 22]);
        assert_eq!(positions(ObjectState::Own, 4), [21, 23]);
        assert_eq!(positions(ObjectState::Own, 3), [21]);
        assert!(positions(ObjectState::Own, 0).is_empty());
    }
}
