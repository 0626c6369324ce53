//! Questions as JSON, and their conversion to the model's input.

use anyref_core::{Goal, MaskPrediction, MaskPrompt, Point, Prompt, Reference, ReferenceImage};
use anyref_decoder::rle::Rle;
use image::{GrayImage, Luma};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::answers::MaskFormat;
use crate::limits::QuestionLimits;
use crate::media;
use crate::problem::{Outcome, Problem};

/// Maximum points of one thing.
const MAX_POINTS: usize = 256;

/// Picture of a question: its identifier, or the file itself.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PictureInput {
    /// Identifier returned by `POST /v1/pictures`.
    Id(String),
    /// File.
    File(FileInput),
}

/// File within a request.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct FileInput {
    /// Content in Base64, alone or as a `data:` URL. Other URLs are not fetched.
    pub data: String,
    /// Name for messages.
    pub name: Option<String>,
}

/// Mask of a reference picture.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MaskInput {
    /// COCO's compressed run lengths.
    #[schema(value_type = Object)]
    Rle(Rle),
    /// Picture in Base64, alone or as a `data:` URL: the thing white, all else black.
    File(String),
}

/// Reference, by which a question points at a thing.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ReferenceInput {
    /// Phrase, such as "the tiger on the left".
    Text {
        /// Phrase.
        text: String,
    },
    /// Box in the picture.
    Box {
        /// Corners `x0, y0, x1, y1` in pixels of the picture, right and bottom exclusive.
        #[serde(rename = "box")]
        corners: [f32; 4],
    },
    /// Region of the picture by its mask, whose shape models with regions as tokens of the picture
    /// read, such as Sa2VA; others read the box around it.
    Mask {
        /// Mask of the picture's size.
        mask: MaskInput,
    },
    /// Points on the thing and beside it. The box around their mask becomes the reference.
    Points {
        /// Coordinates `x, y` of each point in pixels of the picture.
        points: Vec<[f32; 2]>,
        /// Labels of the points: 1 on the thing, 0 beside it; all 1 if omitted.
        labels: Option<Vec<u8>>,
    },
    /// Another picture of the thing.
    Picture {
        /// File in Base64, alone or as a `data:` URL.
        data: String,
        /// Name for messages.
        name: Option<String>,
        /// Relevant part of the picture, `x0, y0, x1, y1` in its pixels.
        #[serde(rename = "box")]
        corners: Option<[f32; 4]>,
        /// Mask of the thing in the picture.
        mask: Option<MaskInput>,
    },
    /// Sound that the thing makes.
    Sound {
        /// File in Base64, alone or as a `data:` URL: WAV, FLAC, Ogg Vorbis or MP3.
        data: String,
        /// Name for messages.
        name: Option<String>,
    },
}

/// Selection of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Best of several candidates, by the model's configuration. Not streamed.
    #[default]
    Best,
    /// Likeliest answer, word by word, which can be streamed.
    Likeliest,
}

/// Question about a picture.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionInput {
    /// Name of a model of `/v1/models`; the first one if omitted.
    pub model: Option<String>,
    /// Picture that the question is about.
    pub picture: PictureInput,
    /// Question, with `{1}` for the first reference, `{2}` for the second; a default question if
    /// omitted.
    pub question: Option<String>,
    /// References, in the order of their numbers.
    #[serde(default)]
    pub references: Vec<ReferenceInput>,
    /// Format of masks.
    #[serde(default)]
    pub masks: MaskFormat,
    /// Selection of the answer; a chat always uses the likeliest.
    pub choose: Option<Choice>,
    /// Streams the answer as server-sent events: `text` with pieces of the sentence, then one
    /// `final` with the whole answer, or one `error`.
    #[serde(default)]
    pub stream: bool,
    /// Adds the attention behind each mask to the answer; `/v1/segment` only.
    #[serde(default)]
    pub explain: bool,
    /// Conversation that a chat continues; a new one if omitted.
    pub conversation: Option<String>,
}

impl QuestionInput {
    /// Rejects questions that are too long.
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

    /// Rejects fields that a call does not use.
    ///
    /// # Errors
    /// When such a field is set.
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

    /// Converts the question to the model's prompt. Decodes pictures and sounds, which takes time.
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
    /// Mask prompt for a point reference in a picture of `size`, width and height; `None` for other
    /// references.
    ///
    /// # Errors
    /// When a point is outside the picture, or a label is invalid.
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
            Self::Mask { mask } => {
                let mask = Reference::of_mask(&mask.read(field, limits)?);
                mask.map_err(|error| Problem::from(error).at(field))?
            }
            // Replaced by the box of the resulting mask once the picture is available.
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

/// Points of a request, labelled 1 on the thing and 0 beside it.
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

/// Goal of a question with the likeliest answer. A description gets the words of the default
/// question, since the goal alone would ask for masks.
pub fn likeliest(goal: Goal, prompt: &mut Prompt) -> Goal {
    if goal == Goal::Describe && prompt.question.is_none() {
        prompt.question = Some(anyref_core::DESCRIBE_QUESTION.to_owned());
    }
    Goal::Chat
}

/// Rejects boxes outside a picture of `size`, width and height, by their number.
///
/// # Errors
/// When a box lies outside.
pub fn check_fit(prompt: &Prompt, size: (u32, u32)) -> Outcome<()> {
    for (i, reference) in prompt.references.iter().enumerate() {
        let fits = reference.fits(size);
        fits.map_err(|error| Problem::from(error).at(format!("references[{i}]")))?;
    }
    Ok(())
}

/// Box of the mask predicted for points.
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
