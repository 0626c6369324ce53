//! Answers of AnyRef: sentence, masks and timing.

use std::ops::AddAssign;
use std::time::Duration;

use anyref_decoder::rle::Rle;
use image::{GrayImage, Luma};

use crate::bridge::Bridge;
use crate::sam::{EarlierMask, LowResMask};

/// Sentence with the masks of the objects that it names.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Sentence without mask tokens.
    pub text: String,
    /// Sentence as generated, with `<obj>` where an object is pointed out.
    pub raw: String,
    /// Masks of the `<obj>` tokens, in order, without those of too low a score; empty when there
    /// are none.
    pub masks: Vec<Mask>,
    /// Number of masks omitted because their scores are below [`AnyRefConfig::min_mask_score`].
    ///
    /// [`AnyRefConfig::min_mask_score`]: crate::AnyRefConfig::min_mask_score
    pub doubtful: usize,
    /// References that the model was not trained with, and their substitutes.
    pub bridges: Vec<Bridge>,
    /// Time of each step.
    pub timing: Timing,
}

/// Mask in the size of the original picture.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Run lengths in COCO's column-major order.
    pub rle: Rle,
    /// Mask decoder's estimate of the IoU, 0 to 1.
    pub score: f32,
    /// Start and end, in characters of the answer's [`text`](Answer::text), of the words that it
    /// stands for, where the model says which.
    pub words: Option<[usize; 2]>,
    /// Logits of the mask, from which refinement by clicks starts. Only masks of chat answers have
    /// them.
    pub low_res: Option<LowResMask>,
}

impl Mask {
    /// Converts the mask to a prompt for a refined one: its logits, or its pixels if it has none.
    pub fn earlier(&self) -> EarlierMask {
        match &self.low_res {
            Some(logits) => logits.clone().into(),
            None => self.rle.clone().into(),
        }
    }

    /// Number of pixels.
    pub fn area(&self) -> u64 {
        self.rle.area()
    }

    /// Tight box `[x0, y0, x1, y1]` in pixels, right and bottom exclusive; zeros for an empty mask.
    pub fn bounding_box(&self) -> [u32; 4] {
        let [x, y, width, height] = self.rle.bbox().map(|value| value as u32);
        [x, y, x + width, y + height]
    }

    /// Converts the mask to an 8-bit picture, 0 or 255.
    pub fn to_image(&self) -> GrayImage {
        let [height, width] = self.rle.size();
        let mask = self.rle.to_mask();
        GrayImage::from_fn(width as u32, height as u32, |x, y| {
            Luma([if mask[y as usize * width + x as usize] {
                255
            } else {
                0
            }])
        })
    }
}

/// Time spent in each step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Encoding of the picture; zero for every question after the first.
    pub image: Duration,
    /// Encoding of sounds.
    pub audio: Duration,
    /// Encoding of the other references and construction of the prompt.
    pub prompt: Duration,
    /// Generation of the answer.
    pub generate: Duration,
    /// Decoding of masks.
    pub decode: Duration,
}

impl Timing {
    /// Time of everything but the picture.
    pub(crate) fn of_question(&self) -> Duration {
        self.audio + self.prompt + self.generate + self.decode
    }

    /// Multiplies all times but the picture's, for questions whose times overlap.
    pub(crate) fn shared(self, share: f64) -> Self {
        Self {
            image: self.image,
            audio: self.audio.mul_f64(share),
            prompt: self.prompt.mul_f64(share),
            generate: self.generate.mul_f64(share),
            decode: self.decode.mul_f64(share),
        }
    }
}

impl AddAssign for Timing {
    fn add_assign(&mut self, other: Self) {
        self.image += other.image;
        self.audio += other.audio;
        self.prompt += other.prompt;
        self.generate += other.generate;
        self.decode += other.decode;
    }
}
