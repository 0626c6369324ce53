//! References of a batch in the form of the encoders' inputs.

use anyref_audio::AudioFeatures;
use anyref_core::{RegionForm, TokenArea, region_cells};
use anyref_vision::preprocess::PixelValues;
use anyref_vision::roi_align::RegionBox;
use image::RgbImage;

use super::context::StageContext;
use super::example::{Example, ExampleReference};

/// Inputs of the reference encoders. The reference bank holds pictures, then boxes, then
/// sounds, then regions.
#[derive(Debug, Default)]
pub(super) struct ReferenceInputs {
    /// Inputs of CLIP.
    pub(super) images: Inputs<PixelValues>,
    /// Boxes as shares of their pictures.
    pub(super) boxes: Inputs<RegionBox>,
    /// Inputs of ImageBind.
    pub(super) sounds: Inputs<AudioFeatures>,
    /// Regions of models that read them as tokens of their pictures.
    pub(super) regions: Inputs<TokenRegion>,
}

/// Region as the tokens of its picture's last square that lie in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRegion {
    /// Index of the picture.
    pub picture: usize,
    /// Indices of the tokens within the square.
    pub cells: Vec<usize>,
}

/// Inputs of one encoder.
#[derive(Debug)]
pub(super) struct Inputs<T> {
    pub(super) values: Vec<T>,
    /// Index of the name of the object in each input, if the instruction states it.
    names: Vec<Option<usize>>,
}

impl<T> Default for Inputs<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            names: Vec::new(),
        }
    }
}

impl<T> Inputs<T> {
    /// Adds an input; returns its index among those of the encoder.
    fn push(&mut self, value: T, name: Option<usize>) -> usize {
        self.values.push(value);
        self.names.push(name);
        self.values.len() - 1
    }
}

/// Reference by its index among those of its encoder.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReferencePlace {
    Image(usize),
    Box(usize),
    Sound(usize),
    Region(usize),
}

/// Reference in the bank of all encoders.
#[derive(Debug, Clone, Copy)]
pub(super) struct BankEntry {
    pub(super) index: usize,
    /// Number of tokens of the reference.
    pub(super) tokens: usize,
}

impl ReferenceInputs {
    /// Adds the references of an example about the picture `image`, number `picture` of the batch.
    /// Returns those that the question marks, in the order of its markers.
    pub(super) fn add(
        &mut self,
        context: &StageContext,
        example: &Example,
        picture: usize,
        image: &RgbImage,
    ) -> Vec<ReferencePlace> {
        let name = example.reference_name;
        let prompted = context.model.prompts.regions == RegionForm::VisualPrompt;
        let side = context.model.vision_tower.grid_size();
        let tokens_of = |area: TokenArea<'_>, regions: &mut Inputs<TokenRegion>| {
            let cells = region_cells(area, image.dimensions(), side);
            ReferencePlace::Region(regions.push(TokenRegion { picture, cells }, name))
        };
        let places = example.references.iter().map(|reference| match reference {
            ExampleReference::Text => None,
            ExampleReference::Box(region) if prompted => {
                Some(tokens_of(TokenArea::Box(*region), &mut self.regions))
            }
            ExampleReference::Mask(mask) => {
                Some(tokens_of(TokenArea::Mask(mask), &mut self.regions))
            }
            ExampleReference::Box(region) => {
                let region = share(*region, picture, image);
                Some(ReferencePlace::Box(self.boxes.push(region, name)))
            }
            ExampleReference::Image(pixels) => {
                let place = self.images.push(pixels.clone(), name);
                Some(ReferencePlace::Image(place))
            }
            ExampleReference::Audio(features) => {
                let place = self.sounds.push(features.clone(), name);
                Some(ReferencePlace::Sound(place))
            }
        });
        let places: Vec<_> = places.collect();
        let marked = example.question.marked.iter();
        marked.filter_map(|&marked| *places.get(marked)?).collect()
    }

    /// Entry of a reference in the bank, once all references are added.
    pub(super) fn bank_entry(&self, context: &StageContext, place: ReferencePlace) -> BankEntry {
        let model = &context.model;
        let [images, boxes, sounds] = [
            self.images.values.len(),
            self.boxes.values.len(),
            self.sounds.values.len(),
        ];
        let (index, tokens) = match place {
            ReferencePlace::Image(place) => (place, model.reference_tokens),
            ReferencePlace::Box(place) => (images + place, model.reference_tokens),
            ReferencePlace::Sound(place) => {
                let audio = model.audio.as_ref();
                let clips = audio.map_or(0, |audio| audio.preprocessor.num_clips);
                (images + boxes + place, clips)
            }
            ReferencePlace::Region(place) => {
                let tokens = self.regions.values[place].cells.len();
                (images + boxes + sounds + place, tokens)
            }
        };
        BankEntry { index, tokens }
    }

    /// Index of the name of the object in each reference, in the order of the bank.
    pub(super) fn names(&self) -> Vec<Option<usize>> {
        let pooled = [&self.images.names, &self.boxes.names, &self.sounds.names];
        let all = pooled.into_iter().chain([&self.regions.names]);
        all.flatten().copied().collect()
    }
}

/// Converts a box in pixels to shares of its picture, number `batch` of the batch.
fn share([x0, y0, x1, y1]: [f32; 4], batch: usize, image: &RgbImage) -> RegionBox {
    let (width, height) = (image.width() as f32, image.height() as f32);
    RegionBox {
        batch,
        x0: x0 / width,
        y0: y0 / height,
        x1: x1 / width,
        y1: y1 / height,
    }
}
