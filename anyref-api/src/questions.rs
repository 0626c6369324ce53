//! Questions as requests have them, and as the model takes them.

use anyref_core::{Goal, MaskPrediction, MaskPrompt, Point, Prompt, Reference, ReferenceImage};
use anyref_decoder::rle::Rle;
use image::{GrayImage, Luma};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answers::MaskFormat;
use crate::limits::QuestionLimits;
use crate::media;
use crate::problem::{Outcome, Problem};

/// Most points of one thing.
const MAX_POINTS: usize = 256;

/// A picture that is asked about: its identifier, or the file itself.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PictureInput {
    /// Identifier that `POST /v1/pictures` answered.
    Id(String),
    /// The file.
    File(FileInput),
}

/// A file within a request.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct FileInput {
    /// The file in Base64, alone or as a `data:` URL. Addresses are not fetched.
    pub data: String,
    /// Name for messages.
    pub name: Option<String>,
}

/// A mask of a reference picture.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MaskInput {
    /// COCO's compressed run lengths.
    #[schema(value_type = Object)]
    Rle(Rle),
    /// A picture in Base64, alone or as a `data:` URL: the thing white, all else black.
    File(String),
}

/// A reference: what a question points with.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ReferenceInput {
    /// A phrase: "the tiger on the left".
    Text {
        /// The phrase.
        text: String,
    },
    /// A box in the picture.
    Box {
        /// `x0, y0, x1, y1` in pixels of the picture, right and bottom exclusive.
        #[serde(rename = "box")]
        corners: [f32; 4],
    },
    /// Points on the thing and beside it. The box of the mask that they mean is the reference.
    Points {
        /// `x, y` of each in pixels of the picture.
        points: Vec<[f32; 2]>,
        /// 1 for each point on the thing, 0 beside it; all 1 where there are none.
        labels: Option<Vec<u8>>,
    },
    /// Another picture of such a thing.
    Picture {
        /// The file in Base64, alone or as a `data:` URL.
        data: String,
        /// Name for messages.
        name: Option<String>,
        /// The part of it that counts, `x0, y0, x1, y1` in its pixels.
        #[serde(rename = "box")]
        corners: Option<[f32; 4]>,
        /// The thing in it.
        mask: Option<MaskInput>,
    },
    /// The sound that the thing makes.
    Sound {
        /// The file in Base64, alone or as a `data:` URL: WAV, FLAC, Ogg Vorbis or MP3.
        data: String,
        /// Name for messages.
        name: Option<String>,
    },
}

/// How an answer is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The best of several, as the model's configuration says. It comes at once.
    #[default]
    Best,
    /// The likeliest, word by word, which can be streamed.
    Likeliest,
}

/// A question about a picture.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionInput {
    /// Name of a model of `/v1/models`; the first one where there is none.
    pub model: Option<String>,
    /// The picture.
    pub picture: PictureInput,
    /// The question, with `{1}` for the first reference, `{2}` for the second; a default question
    /// where there is none.
    pub question: Option<String>,
    /// The references, in the order of their numbers.
    #[serde(default)]
    pub references: Vec<ReferenceInput>,
    /// How masks are written.
    #[serde(default)]
    pub masks: MaskFormat,
    /// How the answer is chosen; a chat's is the likeliest always.
    pub choose: Option<Choice>,
    /// Whether the answer comes as server-sent events: `text` with pieces of the sentence, then one
    /// `final` with the whole answer, or one `error`.
    #[serde(default)]
    pub stream: bool,
    /// Whether the attention behind each mask is answered too; of `/v1/segment` alone.
    #[serde(default)]
    pub explain: bool,
    /// The conversation that a chat goes on with; a new one where there is none.
    pub conversation: Option<String>,
}

impl QuestionInput {
    /// Refuses questions that are too long.
    ///
    /// # Errors
    /// When there are more references or words than `limits` allow.
    pub fn check(&self, limits: &QuestionLimits) -> Outcome<()> {
        let most = limits.references;
        if self.references.len() > most {
            let message = format!("{} references, {most} are taken", self.references.len());
            return Err(Problem::bad("too_many_references", message).at("references"));
        }
        if self
            .question
            .as_ref()
            .is_some_and(|text| text.len() > limits.bytes)
        {
            let message = format!("the question is longer than {} bytes", limits.bytes);
            return Err(Problem::bad("question_too_long", message).at("question"));
        }
        Ok(())
    }

    /// Refuses fields that a call has no use for.
    ///
    /// # Errors
    /// When there is one.
    pub fn check_goal(&self, goal: Goal) -> Outcome<()> {
        if goal == Goal::Chat && self.choose == Some(Choice::Best) {
            let message =
                "a chat's answer is the likeliest: leave `choose` out, or use /v1/segment";
            return Err(Problem::bad("choose", message).at("choose"));
        }
        if goal != Goal::Chat && self.conversation.is_some() {
            let message = "conversations are of /v1/chat alone: leave it out";
            return Err(Problem::bad("conversation", message).at("conversation"));
        }
        if self.explain && goal != Goal::Segment {
            let message = "answers of /v1/segment alone are explained: leave it out";
            return Err(Problem::bad("explain", message).at("explain"));
        }
        Ok(())
    }

    /// The question as the model takes it. Pictures and sounds are decoded here, which takes time.
    ///
    /// # Errors
    /// When a reference cannot be read, or is larger than `limits` allow.
    pub fn prompt(&self, limits: &QuestionLimits) -> Outcome<Prompt> {
        let references = self.references.iter().enumerate();
        let references = references
            .map(|(i, reference)| reference.read(&format!("references[{i}]"), limits))
            .collect::<Outcome<Vec<_>>>()?;
        Ok(Prompt {
            question: self.question.clone(),
            references,
        })
    }
}

impl ReferenceInput {
    /// The prompt of a mask for points in a picture of this width and height; none for other
    /// references.
    ///
    /// # Errors
    /// When a point is outside of the picture, or a label is wrong.
    pub fn point_prompt(&self, size: (u32, u32), field: &str) -> Outcome<Option<MaskPrompt>> {
        let Self::Points { points, labels } = self else {
            return Ok(None);
        };
        let prompt = MaskPrompt {
            points: mask_points(points, labels.as_deref(), field)?,
            ..MaskPrompt::default()
        };
        let fits = prompt.fits(size);
        fits.map_err(|error| Problem::from(error).at(field))?;
        Ok(Some(prompt))
    }

    fn read(&self, field: &str, limits: &QuestionLimits) -> Outcome<Reference> {
        Ok(match self {
            Self::Text { text } if text.len() > limits.bytes => {
                let message = format!("the phrase is longer than {} bytes", limits.bytes);
                return Err(Problem::bad("question_too_long", message).at(field));
            }
            Self::Text { text } => Reference::Text(text.clone()),
            Self::Box { corners } => Reference::Box(*corners),
            // Becomes the box of the mask that it means, once the picture is there.
            Self::Points { points, labels } => {
                mask_points(points, labels.as_deref(), field)?;
                Reference::Box([0.0; 4])
            }
            Self::Sound { data, name } => {
                let file = media::bytes(data, field)?;
                let name = media::shown_name(name.as_deref(), "the sound");
                Reference::Audio(media::sound(&file, &name, limits, field)?)
            }
            Self::Picture {
                data,
                name,
                corners,
                mask,
            } => {
                let file = media::bytes(data, field)?;
                media::check_pixels(&file, limits, field)?;
                let name = media::shown_name(name.as_deref(), "of the reference");
                let image = media::picture(&file, &name, field)?;
                let marked = match (corners, mask) {
                    (Some(_), Some(_)) => {
                        let message = "a box and a mask of one picture: give one of them";
                        return Err(Problem::bad("box_and_mask", message).at(field));
                    }
                    (Some(corners), None) => ReferenceImage::cropped(&image, *corners),
                    (None, Some(mask)) => {
                        ReferenceImage::masked(&image, &mask.read(field, limits)?)
                    }
                    (None, None) => Ok(ReferenceImage::new(image)),
                };
                Reference::Image(marked.map_err(|error| Problem::from(error).at(field))?)
            }
        })
    }
}

impl MaskInput {
    fn read(&self, field: &str, limits: &QuestionLimits) -> Outcome<GrayImage> {
        match self {
            Self::File(data) => {
                let file = media::bytes(data, field)?;
                media::check_pixels(&file, limits, field)?;
                media::mask(&file, "of the reference", field)
            }
            Self::Rle(rle) => {
                let [height, width] = rle.size();
                if (height * width) as u64 > limits.pixels {
                    let message = "the mask has too many pixels";
                    return Err(Problem::bad("too_many_pixels", message).at(field));
                }
                let pixels = rle.to_mask();
                Ok(GrayImage::from_fn(width as u32, height as u32, |x, y| {
                    let on = pixels[y as usize * width + x as usize];
                    Luma([if on { 255 } else { 0 }])
                }))
            }
        }
    }
}

/// Points of a request, 1 on the thing and 0 beside it.
///
/// # Errors
/// When there are too many, or a label is neither.
pub fn mask_points(points: &[[f32; 2]], labels: Option<&[u8]>, field: &str) -> Outcome<Vec<Point>> {
    let wrong = |message: String| Err(Problem::bad("points", message).at(field));
    if points.len() > MAX_POINTS {
        return wrong(format!("{} points, {MAX_POINTS} are taken", points.len()));
    }
    let labels = match labels {
        Some(labels) if labels.len() != points.len() => {
            return wrong(format!(
                "{} labels of {} points",
                labels.len(),
                points.len()
            ));
        }
        Some(labels) if labels.iter().any(|label| *label > 1) => {
            return wrong("a label is 1 for a point on the thing and 0 beside it".into());
        }
        labels => labels,
    };
    let points = points.iter().enumerate().map(|(i, &[x, y])| Point {
        x,
        y,
        on: labels.is_none_or(|labels| labels[i] == 1),
    });
    Ok(points.collect())
}

/// The goal of a question whose answer is chosen so. A likeliest description has the words of the
/// default question, since the goal alone would ask for masks.
pub fn likeliest(goal: Goal, prompt: &mut Prompt) -> Goal {
    if goal == Goal::Describe && prompt.question.is_none() {
        prompt.question = Some(anyref_core::DESCRIBE_QUESTION.to_owned());
    }
    Goal::Chat
}

/// Refuses boxes outside of a picture of this width and height, by their number.
///
/// # Errors
/// When there is one.
pub fn check_fit(prompt: &Prompt, size: (u32, u32)) -> Outcome<()> {
    for (i, reference) in prompt.references.iter().enumerate() {
        let fits = reference.fits(size);
        fits.map_err(|error| Problem::from(error).at(format!("references[{i}]")))?;
    }
    Ok(())
}

/// The box of the mask that points mean.
///
/// # Errors
/// When the mask is empty.
pub fn region(predicted: &MaskPrediction, field: &str) -> Outcome<Reference> {
    let [x0, y0, x1, y1] = predicted.best().mask.bounding_box().map(|side| side as f32);
    if x0 >= x1 || y0 >= y1 {
        let message = "the points mean nothing in this picture: move them, or draw a box";
        return Err(Problem::bad("points_mean_nothing", message).at(field));
    }
    Ok(Reference::Box([x0, y0, x1, y1]))
}
