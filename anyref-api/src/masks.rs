//! Masks for points and boxes, without words.

use std::time::Duration;

use anyref_core::{EarlierMask, LowResMask, MaskPrediction, MaskPrompt, Multimask};
use anyref_decoder::rle::Rle;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answers::{MaskFormat, MaskOutput, milliseconds};
use crate::media;
use crate::problem::{Outcome, Problem};
use crate::questions::{PictureInput, mask_points};

/// Prompt for the mask of one thing: points, a box and an earlier mask in any combination.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskRequest {
    /// Name of a model of `/v1/models`; the first one if omitted.
    pub model: Option<String>,
    /// Picture to segment.
    pub picture: PictureInput,
    /// Points on the thing and beside it, `x, y` in pixels.
    #[serde(default)]
    pub points: Vec<[f32; 2]>,
    /// Labels of the points: 1 on the thing, 0 beside it; all 1 if omitted.
    pub labels: Option<Vec<u8>>,
    /// Box around the thing, `x0, y0, x1, y1` in pixels.
    #[serde(rename = "box")]
    pub region: Option<[f32; 4]>,
    /// Mask to refine, from any answer about the picture, as COCO's compressed run lengths.
    #[schema(value_type = Option<Object>)]
    pub mask: Option<Rle>,
    /// Alternative to `mask`: the `low_res` of an earlier answer.
    pub low_res: Option<String>,
    /// Number of masks.
    #[serde(default)]
    pub candidates: CandidateChoice,
    /// Format of masks.
    #[serde(default)]
    pub masks: MaskFormat,
}

/// Number of masks for a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CandidateChoice {
    /// Best of three for a single point, which may mean a part or the whole; otherwise one.
    #[default]
    Best,
    /// Three masks.
    All,
}

/// Masks for a prompt, best first.
#[derive(Debug, Serialize, ToSchema)]
pub struct MaskAnswer {
    /// Name of the model.
    pub model: String,
    /// Masks.
    pub masks: Vec<RefinableMask>,
    /// Time of each step in milliseconds.
    pub timing_ms: MaskTiming,
}

/// Mask that can be refined.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefinableMask {
    /// Mask.
    #[serde(flatten)]
    pub mask: MaskOutput,
    /// Logits of the decoder, little-endian f32 in Base64, for the next prompt.
    pub low_res: String,
}

/// Times of a mask request in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct MaskTiming {
    /// Encoding of the picture; 0 if it was encoded before.
    pub image: f64,
    /// Total from the request to the answer.
    pub total: f64,
}

impl MaskRequest {
    /// Converts the request to the model's prompt.
    ///
    /// # Errors
    /// When a field is invalid.
    pub fn prompt(&self) -> Outcome<MaskPrompt> {
        Ok(MaskPrompt {
            points: mask_points(&self.points, self.labels.as_deref(), "points")?,
            region: self.region,
            mask: earlier(self.mask.clone(), self.low_res.as_deref())?,
        })
    }
}

impl CandidateChoice {
    /// Converts the choice to the model's setting.
    pub fn multimask(self) -> Multimask {
        match self {
            Self::Best => Multimask::WhereAmbiguous,
            Self::All => Multimask::Always,
        }
    }
}

impl MaskAnswer {
    /// Converts masks. PNG and polygons take time; [`MaskFormat::None`] acts as [`MaskFormat::Rle`]
    /// here.
    pub fn new(
        model: &str,
        predicted: MaskPrediction,
        choice: CandidateChoice,
        format: MaskFormat,
        image: Duration,
        total: Duration,
    ) -> Self {
        let format = match format {
            MaskFormat::None => MaskFormat::Rle,
            format => format,
        };
        let mut candidates = predicted.candidates;
        candidates.sort_by(|a, b| b.estimate.total_cmp(&a.estimate));
        if choice == CandidateChoice::Best {
            candidates.truncate(1);
        }
        let masks = candidates.iter().filter_map(|candidate| {
            let bytes: Vec<u8> = candidate
                .low_res
                .logits()
                .iter()
                .flat_map(|logit| logit.to_le_bytes())
                .collect();
            Some(RefinableMask {
                mask: MaskOutput::new(&candidate.mask, format)?,
                low_res: media::base64(&bytes),
            })
        });
        Self {
            model: model.to_owned(),
            masks: masks.collect(),
            timing_ms: MaskTiming {
                image: milliseconds(image),
                total: milliseconds(total),
            },
        }
    }
}

/// Decodes the mask to refine.
fn earlier(mask: Option<Rle>, low_res: Option<&str>) -> Outcome<Option<EarlierMask>> {
    match (mask, low_res) {
        (Some(_), Some(_)) => {
            let message = "a `mask` and a `low_res`: give one of them";
            Err(Problem::bad("mask_and_low_res", message).at("mask"))
        }
        (Some(mask), None) => Ok(Some(mask.into())),
        (None, Some(text)) => Ok(Some(logits(text)?.into())),
        (None, None) => Ok(None),
    }
}

/// Decodes logits from Base64.
fn logits(text: &str) -> Outcome<LowResMask> {
    let bytes = media::bytes(text, "low_res")?;
    let (logits, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        let message = "not a whole number of f32: give the `low_res` of an earlier mask";
        return Err(Problem::bad("low_res", message).at("low_res"));
    }
    let logits: Vec<f32> = logits
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    Ok(LowResMask::new(logits))
}
