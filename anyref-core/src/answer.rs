//! Answers of AnyRef: a sentence, masks and where the time went.

use std::ops::AddAssign;
use std::time::Duration;

use anyref_decoder::rle::Rle;
use image::{GrayImage, Luma};

use crate::bridge::Bridge;
use crate::sam::{EarlierMask, LowResMask};

/// A sentence with the masks of the objects it names.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The sentence, without mask tokens.
    pub text: String,
    /// The sentence as generated, `<obj>` where an object was pointed out.
    pub raw: String,
    /// One mask for each `<obj>`, in order, but for those that are too doubtful; empty when there
    /// was none.
    pub masks: Vec<Mask>,
    /// How many masks are left out, since their scores are below [`AnyRefConfig::min_mask_score`].
    ///
    /// [`AnyRefConfig::min_mask_score`]: crate::AnyRefConfig::min_mask_score
    pub doubtful: usize,
    /// References that the model was not trained with, and their substitutes.
    pub bridges: Vec<Bridge>,
    /// Where the time went.
    pub timing: Timing,
}

/// A mask in the size of the original picture.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Run lengths in COCO's column-major order.
    pub rle: Rle,
    /// The mask decoder's own estimate of the IoU, 0 to 1.
    pub score: f32,
    /// Start and end, in characters of the answer's [`text`](Answer::text), of the words that it
    /// stands for, where the model says which.
    pub words: Option<[usize; 2]>,
    /// The logits that it was made of, which refinement by clicks starts from. Masks of a chat's
    /// answers have them alone.
    pub low_res: Option<LowResMask>,
}

impl Mask {
    /// The mask as a prompt for a better one: its logits, or its pixels where it has none.
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

    /// The mask as an 8-bit picture, 0 or 255.
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

/// Time spent in each part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Encoding the picture; zero for every question after the first.
    pub image: Duration,
    /// Encoding sounds.
    pub audio: Duration,
    /// Encoding the other references and building the prompt.
    pub prompt: Duration,
    /// Generating the answer.
    pub generate: Duration,
    /// Decoding masks.
    pub decode: Duration,
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
