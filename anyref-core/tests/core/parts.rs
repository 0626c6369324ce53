//! Published parts of the fixtures, with their expected outputs.

use std::fs;
use std::path::{Path, PathBuf};

use anyref_core::{Answer, AnyRef, Assembly};
use anyref_ops::testing::assert_close;
use anyref_vision::preprocess::SamPreprocessor;
use anyref_weights::testing::Fixture;
use image::RgbImage;
use tempfile::TempDir;

use crate::common::{TestBackend, tokenizer};

/// Path of a file or folder of the fixtures.
pub fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Inputs and outputs of the reference implementations.
pub fn expected() -> Fixture {
    Fixture::open(published("expected.safetensors"))
}

/// Copies a folder of the fixtures.
pub fn copied(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(published(name)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

/// Folder of a language model, with a tokenizer.
pub fn language(name: &str) -> TempDir {
    let folder = copied(name);
    let plain = tokenizer();
    plain.save(folder.path().join("tokenizer.json")).unwrap();
    folder
}

/// Assembly of all parts, for a LLaVA that contains its tower.
pub fn assembly(llm: &Path) -> Assembly {
    Assembly {
        clip: None,
        sam: Some(published("sam.pth")),
        masks: true,
        imagebind: Some(published("imagebind.pth")),
        llm: llm.into(),
        adapter: None,
        dtype: None,
        quantization: None,
        encoders: Default::default(),
        seed: 1,
        max_shard_bytes: 100_000,
    }
}

pub fn load(folder: &Path) -> AnyRef<TestBackend> {
    AnyRef::load(folder, &Default::default()).unwrap()
}

/// Asserts that the states of a question of a model over SAM become the reference's low-resolution
/// masks.
pub fn assert_states_become_masks(
    anyref: &AnyRef<TestBackend>,
    image: &RgbImage,
    expected: &Fixture,
    questions: usize,
    tolerance: f64,
) {
    let (model, device) = (&anyref.model, Default::default());
    let masks = model.mask_branch();
    let side = masks.image_encoder.config().image_size;
    let pixels = SamPreprocessor::new(side).process(image).pixels;
    let embedding = masks
        .image_encoder
        .forward(pixels.to_tensor(&device).unsqueeze());
    for index in 0..questions {
        let states = expected.tensor::<TestBackend, 2>(&format!("{index}.states"), &device);
        let prompts = masks.text_hidden_fcs.forward(states.clone());
        let embedding = embedding.clone().repeat_dim(0, states.dims()[0]);
        let masks = model.decode_masks(embedding, prompts).low_res_masks;
        let wanted = expected.tensor(&format!("{index}.low_res_masks"), &device);
        assert_close(&masks, &wanted, tolerance);
    }
}

/// Asserts that the masks of an answer are the reference's to a question, but for pixels on their
/// edges.
pub fn assert_masks(answer: &Answer, expected: &Fixture, index: usize) {
    let logits = expected.data(&format!("{index}.masks"));
    let (count, pixels) = (logits.shape[0], logits.num_elements() / logits.shape[0]);
    assert_eq!(answer.masks.len(), count);
    let logits: Vec<f32> = logits.iter::<f32>().collect();
    let scores = expected.data(&format!("{index}.scores"));
    let scores = scores.iter::<f32>();
    let masks = answer.masks.iter();
    for ((mask, logits), score) in masks.zip(logits.chunks_exact(pixels)).zip(scores) {
        let found = mask.rle.to_mask();
        assert_eq!(found.len(), pixels);
        let wrong = found
            .iter()
            .zip(logits)
            .filter(|&(inside, logit)| *inside != (*logit > 0.0) && logit.abs() > 1e-4);
        assert_eq!(wrong.count(), 0);
        assert!((mask.score - score.clamp(0.0, 1.0)).abs() < 1e-4);
    }
}
