//! Features of pictures by a CLIP vision tower, and how alike the pictures are by them.
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
/// Two bears, two keys, grapes, an orca and a cement mixer.
const PICTURES: [&str; 7] = [
    "assets/demo/scene2-3-1.png",
    "assets/demo/scene2-5-1.png",
    "assets/demo/scene3-3-1.png",
    "assets/demo/scene3-5-1.png",
    "assets/demo/scene1-3-1.png",
    "assets/demo/scene4-3-1.png",
    "assets/demo/scene5-3-1.png",
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

    // One vector a picture, less the mean of all, which any two pictures share.
    let pooled: Tensor<Flex, 2> = features.mean_dim(1).squeeze_dim(1);
    let centred = pooled.clone() - pooled.mean_dim(0);
    let unit = centred.clone() / linalg::l2_norm(centred, 1);
    let cosines = unit.clone().matmul(unit.transpose()).into_data();
    let cosines: Vec<f32> = cosines.iter().collect();
    for (path, row) in pictures.iter().zip(cosines.chunks(pictures.len())) {
        let row: Vec<String> = row.iter().map(|cosine| format!("{cosine:6.3}")).collect();
        println!("{} {path}", row.join(" "));
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
