//! JSON of answers.

use std::io::Cursor;
use std::time::Duration;

use anyref_core::{Answer, Bridge, Explanation, Mask, SpecialTokens, Timing};
use image::ImageFormat;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::media::data_url;

/// Format of masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaskFormat {
    /// COCO's compressed run lengths, as read by `pycocotools`.
    #[default]
    Rle,
    /// 8-bit PNG as a `data:` URL, 0 or 255, in the picture's size.
    Png,
    /// Rings around the mask, to be filled by the even-odd rule.
    Polygons,
    /// No masks.
    None,
}

/// Answer to a question.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AnswerOutput {
    /// Name of the model.
    pub model: String,
    /// Sentence.
    pub text: String,
    /// Parts of the sentence, each with the number of the mask that belongs to it.
    pub parts: Vec<PartOutput>,
    /// Masks, in the order in which the sentence names them.
    pub masks: Vec<MaskOutput>,
    /// Number of masks omitted because the model's scores for them are too low.
    pub left_out: usize,
    /// References that the model was not trained with, and the bridge used for each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub bridge: Vec<Bridge>,
    /// Time of each step in milliseconds.
    pub timing_ms: TimingOutput,
    /// Identifier of the conversation, for the next turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// Attention of the model for each mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanations: Option<Vec<ExplanationOutput>>,
}

/// Words of a sentence.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PartOutput {
    /// Words, with the blanks around them.
    pub text: String,
    /// Number of the mask that belongs to the words, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<usize>,
}

/// Mask of one thing.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MaskOutput {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// COCO's compressed run lengths, if `masks` is `rle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<String>,
    /// PNG as a `data:` URL, if `masks` is `png`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub png: Option<String>,
    /// Rings as `x, y, x, y …` along the edges of pixels, filled by the even-odd rule, if `masks`
    /// is `polygons`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polygons: Option<Vec<Vec<u32>>>,
    /// Area in pixels.
    pub area: u64,
    /// Bounding box `x0, y0, x1, y1` in pixels, right and bottom exclusive.
    #[serde(rename = "box")]
    pub bounds: [u32; 4],
    /// Model's estimate of the IoU, 0 to 1.
    pub score: f32,
    /// Start and end, in characters of the sentence (Unicode code points), of the words that the
    /// mask stands for, where the model says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<[usize; 2]>,
}

/// Times of an answer's steps in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
pub struct TimingOutput {
    /// Encoding of the picture; 0 if it was encoded before.
    pub image: f64,
    /// Encoding of sounds.
    pub audio: f64,
    /// Encoding of other references and construction of the prompt.
    pub prompt: f64,
    /// Generation of the sentence.
    pub generate: f64,
    /// Decoding of masks.
    pub decode: f64,
    /// Waiting, and all else on the server.
    pub queue: f64,
    /// Total from the request to the answer.
    pub total: f64,
}

/// Attention behind a mask: shares that sum to 1.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExplanationOutput {
    /// Patches along one side of the picture.
    pub side: usize,
    /// Share of each patch, row by row.
    pub patches: Vec<f32>,
    /// Share of all patches.
    pub picture: f32,
    /// Words that the model read, with their shares.
    pub words: Vec<WordOutput>,
    /// Shares of the references other than text, in the order of the question.
    pub references: Vec<f32>,
    /// Mask without refocusing.
    pub before: MaskOutput,
}

/// Word that the model read.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WordOutput {
    /// Token as text.
    pub text: String,
    /// Share of the attention.
    pub attention: f32,
    /// Weight in the refocusing correction.
    pub refocus: f32,
}

impl AnswerOutput {
    /// Converts an answer. PNG and polygons take time.
    pub fn new(
        model: &str,
        answer: &Answer,
        format: MaskFormat,
        image: Duration,
        total: Duration,
    ) -> Self {
        Self {
            model: model.to_owned(),
            text: answer.text.clone(),
            parts: parts(answer),
            masks: answer
                .masks
                .iter()
                .filter_map(|mask| MaskOutput::new(mask, format))
                .collect(),
            left_out: answer.doubtful,
            bridge: answer.bridges.clone(),
            timing_ms: TimingOutput::new(&answer.timing, image, total),
            conversation: None,
            explanations: None,
        }
    }

    /// Adds the attention behind the masks.
    #[must_use]
    pub fn explained(mut self, explanations: &[Explanation], format: MaskFormat) -> Self {
        let format = match format {
            MaskFormat::None => MaskFormat::Rle,
            format => format,
        };
        let written = explanations.iter().filter_map(|one| {
            Some(ExplanationOutput {
                side: one.side,
                patches: one.patches.clone(),
                picture: one.picture(),
                words: one
                    .words
                    .iter()
                    .map(|word| WordOutput {
                        text: word.text.clone(),
                        attention: word.attention,
                        refocus: word.refocus,
                    })
                    .collect(),
                references: one.references.clone(),
                before: MaskOutput::new(&one.before, format)?,
            })
        });
        self.explanations = Some(written.collect());
        self
    }
}

impl MaskOutput {
    /// Converts a mask; `None` if `format` is [`MaskFormat::None`].
    pub fn new(mask: &Mask, format: MaskFormat) -> Option<Self> {
        let mut written = Self {
            size: mask.rle.size(),
            counts: None,
            png: None,
            polygons: None,
            area: mask.area(),
            bounds: mask.bounding_box(),
            score: mask.score,
            words: mask.words,
        };
        match format {
            MaskFormat::None => return None,
            MaskFormat::Rle => written.counts = Some(mask.rle.to_compressed()),
            MaskFormat::Polygons => written.polygons = Some(mask.rle.rings()),
            MaskFormat::Png => {
                let mut file = Cursor::new(Vec::new());
                mask.to_image().write_to(&mut file, ImageFormat::Png).ok()?;
                written.png = Some(data_url("image/png", file.get_ref()));
            }
        }
        Some(written)
    }
}

impl TimingOutput {
    fn new(timing: &Timing, image: Duration, total: Duration) -> Self {
        let computed = timing.audio + timing.prompt + timing.generate + timing.decode + image;
        Self {
            image: milliseconds(image),
            audio: milliseconds(timing.audio),
            prompt: milliseconds(timing.prompt),
            generate: milliseconds(timing.generate),
            decode: milliseconds(timing.decode),
            queue: milliseconds(total.saturating_sub(computed)),
            total: milliseconds(total),
        }
    }
}

/// Converts a duration to milliseconds with three decimals.
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Splits the sentence into parts: by the words that the model ties to masks, or else by where it
/// points. If masks are then omitted, it is unknown which, so no words have a mask. A sentence that
/// does not point, with a single mask of the thing described, has that mask.
fn parts(answer: &Answer) -> Vec<PartOutput> {
    let plain = |mask| {
        vec![PartOutput {
            text: answer.text.clone(),
            mask,
        }]
    };
    if answer.masks.iter().any(|mask| mask.words.is_some()) {
        return tied_parts(answer);
    }
    let mut pieces: Vec<&str> = answer.raw.split(SpecialTokens::OBJECT).collect();
    let rest = pieces.pop().unwrap_or_default();
    if pieces.is_empty() && answer.masks.len() == 1 {
        let words = answer.text.trim_end_matches('.');
        let mut parts = vec![PartOutput {
            text: words.to_owned(),
            mask: Some(0),
        }];
        push(&mut parts, &answer.text[words.len()..], None);
        return parts;
    }
    if pieces.len() != answer.masks.len() || answer.doubtful > 0 {
        return plain(None);
    }
    let mut parts = Vec::new();
    for (mask, piece) in pieces.into_iter().enumerate() {
        let words = piece.trim_start_matches([' ', ',', ';', '.']);
        let words = words.strip_prefix("and ").unwrap_or(words);
        push(&mut parts, &piece[..piece.len() - words.len()], None);
        push(&mut parts, words.trim_end(), Some(mask));
    }
    push(&mut parts, rest, None);
    let whole: String = parts.iter().map(|part| part.text.as_str()).collect();
    match whole == answer.text {
        true => parts,
        false => plain(None),
    }
}

/// Splits the sentence at the words of its masks. Of masks for the same words the first has them.
fn tied_parts(answer: &Answer) -> Vec<PartOutput> {
    let masks = answer.masks.iter().enumerate();
    let mut spans: Vec<_> = masks
        .filter_map(|(mask, found)| found.words.map(|[start, end]| (start, end, mask)))
        .collect();
    spans.sort_unstable();
    let letters: Vec<char> = answer.text.chars().collect();
    let text = |from: usize, to: usize| letters[from..to].iter().collect::<String>();
    let (mut parts, mut at) = (Vec::new(), 0);
    for (start, end, mask) in spans {
        if start < at || end > letters.len() {
            continue;
        }
        push(&mut parts, &text(at, start), None);
        push(&mut parts, &text(start, end), Some(mask));
        at = end;
    }
    push(&mut parts, &text(at, letters.len()), None);
    parts
}

fn push(parts: &mut Vec<PartOutput>, text: &str, mask: Option<usize>) {
    if !text.is_empty() {
        let text = text.to_owned();
        parts.push(PartOutput { text, mask });
    }
}

/// Words of a streamed piece of an answer, without the model's tokens; `None` if nothing else
/// remains.
pub fn words_of_piece(piece: &str) -> Option<String> {
    let words = SpecialTokens::words_of_piece(piece);
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyref_decoder::rle::Rle;

    fn answer(raw: &str, text: &str, masks: usize, doubtful: usize) -> Answer {
        let rle = Rle::from_mask(&[true], [1, 1]).unwrap();
        Answer {
            text: text.into(),
            raw: raw.into(),
            masks: vec![
                Mask {
                    rle,
                    score: 0.5,
                    words: None,
                    low_res: None
                };
                masks
            ],
            doubtful,
            bridges: Vec::new(),
            timing: Timing::default(),
        }
    }

    fn tied(answer: &Answer) -> Vec<(String, Option<usize>)> {
        parts(answer)
            .into_iter()
            .map(|part| (part.text, part.mask))
            .collect()
    }

    #[test]
    fn words_have_the_masks_that_follow_them() {
        let raw = "the cat<obj>, the dog <obj> and a mug<obj>.";
        let found = tied(&answer(raw, "the cat, the dog and a mug.", 3, 0));
        let expected = [
            ("the cat", Some(0)),
            (", ", None),
            ("the dog", Some(1)),
            (" and ", None),
            ("a mug", Some(2)),
            (".", None),
        ];
        assert_eq!(found, expected.map(|(text, mask)| (text.to_owned(), mask)));
    }

    #[test]
    fn words_that_the_model_ties_to_masks_are_theirs() {
        let raw = "<p> é dog </p> <obj> <obj> by <p> a mug </p> <obj>";
        // One mask is left out: the others keep their words.
        let mut answer = answer(raw, "é dog by a mug", 3, 1);
        answer.masks[0].words = Some([9, 14]);
        answer.masks[1].words = Some([0, 5]);
        answer.masks[2].words = Some([0, 5]);
        let expected = [("é dog", Some(1)), (" by ", None), ("a mug", Some(0))];
        let expected = expected.map(|(text, mask)| (text.to_owned(), mask));
        assert_eq!(tied(&answer), expected);
        let written = MaskOutput::new(&answer.masks[0], MaskFormat::Rle).unwrap();
        assert_eq!(written.words, Some([9, 14]));
    }

    #[test]
    fn pieces_of_a_stream_have_words_alone() {
        assert_eq!(words_of_piece("<p>"), None);
        assert_eq!(words_of_piece(" </p>"), None);
        assert_eq!(words_of_piece(" a <obj>").as_deref(), Some(" a "));
    }

    #[test]
    fn words_have_no_mask_where_it_is_not_known_which() {
        let unsure = answer("a cat<obj>, a dog<obj>.", "a cat, a dog.", 1, 1);
        assert_eq!(tied(&unsure), [("a cat, a dog.".to_owned(), None)]);
        let described = answer("a cat.", "a cat.", 1, 0);
        assert_eq!(
            tied(&described),
            [("a cat".to_owned(), Some(0)), (".".to_owned(), None)]
        );
        let absent = answer("no cat.", "no cat.", 0, 0);
        assert_eq!(tied(&absent), [("no cat.".to_owned(), None)]);
    }
}
