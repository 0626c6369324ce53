//! LISA and GLaMM, from pixels and token ids to the mask of a state.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use anyref_core::{
    AnyRef, AnyRefModel, Companions, Layout, ModelOptions, ModelPlace, ReferenceBank, splice,
};
use anyref_llm::LlamaInput;
use anyref_vision::roi_align::RegionBox;
use anyref_weights::WeightType;
use anyref_weights::testing::Fixture;
use burn::tensor::{Tensor, TensorData};

use crate::measured::{B, Measured, values};

/// Loads a model with the CLIP beside it, and answers the question.
pub fn measure(path: &Path, input: &Fixture, times: usize) -> Result<Measured, Box<dyn Error>> {
    let companions = Companions {
        clip: Some(path.with_file_name("clip")),
        ..Companions::default()
    };
    let (options, start) = (ModelOptions::new(WeightType::Auto), Instant::now());
    let anyref = {
        let place = ModelPlace::open(path)?;
        AnyRef::<B>::load_opened(&place, &companions, options, &Default::default())?
    };
    let measured = Measured::new(start);
    let question = Question::read(input, &anyref)?;
    Ok(measured.times_of(times, || question.answer(&anyref.model)))
}

/// Boxes, a row each of picture, left, top, right and bottom.
pub fn regions(input: &Fixture) -> Vec<RegionBox> {
    let rows: Vec<f32> = input.data("boxes").iter::<f32>().collect();
    let region = |row: &[f32]| RegionBox {
        batch: row[0] as usize,
        x0: row[1],
        y0: row[2],
        x1: row[3],
        y1: row[4],
    };
    rows.chunks_exact(5).map(region).collect()
}

/// Picture and question ids, as the model's input.
struct Question {
    layout: Layout,
    clip: Tensor<B, 4>,
    sam: Tensor<B, 4>,
    /// Regions of a model that has a region encoder, one in the question.
    regions: Vec<RegionBox>,
}

/// Ids before and after a picture.
pub fn ids(input: &Fixture) -> Vec<u32> {
    let ids = ["before", "after"].map(|name| input.data(name));
    let ids = ids.iter().flat_map(|ids| ids.iter::<i64>());
    ids.map(|id| id as u32).collect()
}

impl Question {
    fn read(input: &Fixture, anyref: &AnyRef<B>) -> anyref_core::Result<Self> {
        let (ids, special, device) = (ids(input), anyref.special_tokens(), anyref.device());
        let regions = match &anyref.model.region_encoder {
            Some(_) => regions(input),
            None => Vec::new(),
        };
        let references: Vec<_> = (0..regions.len()).map(|index| (index, 1)).collect();
        Ok(Self {
            layout: Layout::new(&ids, special, anyref.config.image_tokens(), &references)?,
            clip: input.tensor("clip", device),
            sam: input.tensor("sam", device),
            regions,
        })
    }

    /// Logits of the first answer token, the mask of its state, and the regions' features.
    fn answer(&self, model: &AnyRefModel<B>) -> Vec<(&'static str, TensorData)> {
        let features = model.picture_features(self.clip.clone());
        let mut bank = ReferenceBank::default();
        let regions = model.region_encoder.as_ref().map(|encoder| {
            let regions = encoder.regions(&encoder.fuse(features.states), &self.regions);
            for region in regions.clone().split(1, 0) {
                bank.push(region.unsqueeze_dim(0));
            }
            ("regions", values(regions))
        });
        let (llm, layouts) = (&model.llm, [self.layout.clone()]);
        let device = self.clip.device();
        let input = splice(llm, &layouts, Some(features.tokens), &bank, 0, &device);
        let hidden = llm.forward(LlamaInput::new(input.embeddings), None).hidden;
        let [_, length, width] = hidden.dims();
        let state = hidden.narrow(1, length - 1, 1);
        let logits = llm.logits(state.clone());
        let branch = model.mask_branch();
        let prompts = branch.text_hidden_fcs.forward(state.reshape([1, width]));
        let embedding = branch.image_encoder.forward(self.sam.clone());
        let masks = model.decode_masks(embedding, prompts).low_res_masks;
        let outputs = [("logits", values(logits)), ("masks", values(masks))];
        outputs.into_iter().chain(regions).collect()
    }
}
