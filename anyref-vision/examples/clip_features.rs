//! Features of pictures by a CLIP vision tower, and the names that are nearest to them.
//!
//! ```sh
//! cargo run --release -p anyref-vision --example clip_features
//! cargo run --release -p anyref-vision --example clip_features -- PICTURE PICTURE...
//! ```
//!
//! The tower is the shipped model's. A published one is loaded likewise, from its folder and with
//! the rules of `anyref_vision::import`.

use std::path::Path;

use anyhow::{Context, Result};
use anyref_vision::clip::{ClipVisionConfig, ClipVisionModel};
use anyref_vision::preprocess::{ClipPreprocessor, PixelValues, open_image};
use anyref_weights::{Checkpoint, LoadOptions, load_module};
use burn::tensor::{Tensor, linalg};
use burn_flex::Flex;

const MODEL: &str = "assets/nano";
/// Two bears, a cement mixer, a key, a toucan.
const PICTURES: [&str; 5] = [
    "assets/demo/scene2-3-1.png",
    "assets/demo/scene2-5-1.png",
    "assets/demo/scene5-3-1.png",
    "assets/demo/scene3-3-1.png",
    "assets/demo/scene5-6-1.png",
];

fn main() -> Result<()> {
    let mut pictures: Vec<String> = std::env::args().skip(1).collect();
    if pictures.is_empty() {
        pictures = PICTURES.map(String::from).into();
    }
    let device = Default::default();
    let model = load(&device)?;

    let preprocessor = ClipPreprocessor::new(model.config().image_size);
    let pixels = pictures
        .iter()
        .map(|path| Ok(preprocessor.process(&open_image(path)?)))
        .collect::<Result<Vec<_>>>()?;
    // [pictures, patches, width], of the layer before the last, as LLaVA takes them.
    let features = model.features(PixelValues::batch(&pixels, &device), -2);
    println!("features: {:?}", features.dims());

    // Names in the space of the features, which the tower learned by.
    let heads = Checkpoint::open("assets/nano/training/heads.safetensors")?;
    let read = |name: &str| anyhow::Ok(heads.require(name)?.read()?.convert::<f32>());
    let names = Tensor::<Flex, 2>::from_data(read("heads.names.weight")?, &device);
    let weight = Tensor::<Flex, 2>::from_data(read("heads.visual.weight")?, &device);
    let nouns = std::fs::read_to_string("assets/nano/nouns.txt")?;

    let normed = model.post_layernorm.forward(features);
    let pooled: Tensor<Flex, 2> = normed.mean_dim(1).squeeze_dim(1);
    let projected = pooled.matmul(weight.transpose());
    let show = |(cosine, noun): &(f32, &str)| format!("{noun} {cosine:.2}");
    for (path, vector) in pictures.iter().zip(projected.split(1, 0)) {
        let cosines = linalg::cosine_similarity(vector, names.clone(), 1, None);
        let mut named: Vec<(f32, &str)> = cosines.into_data().iter().zip(nouns.lines()).collect();
        named.sort_by(|one, other| other.0.total_cmp(&one.0));
        let nearest: Vec<String> = named[..3].iter().map(show).collect();
        println!("{path}: {}", nearest.join(", "));
    }
    Ok(())
}

/// The vision tower in the model folder.
fn load(device: &burn_flex::FlexDevice) -> Result<ClipVisionModel<Flex>> {
    let file = Path::new(MODEL).join("config.json");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{}: run this in the repository's root", file.display()))?;
    let config: serde_json::Value = serde_json::from_str(&text)?;
    let config: ClipVisionConfig = serde_json::from_value(config["vision_tower"].clone())?;
    let mut model = config.init(device);
    let options = LoadOptions::default().with_prefix("vision_tower.");
    load_module(&mut model, &Checkpoint::open(MODEL)?, &options)?;
    Ok(model)
}
