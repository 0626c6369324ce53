//! Embeddings of sounds by an ImageBind audio encoder, and the names that are nearest to them.
//!
//! ```sh
//! cargo run --release -p anyref-audio --example embed_sound
//! cargo run --release -p anyref-audio --example embed_sound -- SOUND SOUND...
//! ```
//!
//! Sounds are WAV, FLAC, Ogg Vorbis or MP3. The encoder is the shipped model's;
//! `imagebind_huge.pth` is loaded likewise, with the rules of `anyref_audio::imagebind::import`.

use std::path::Path;

use anyhow::{Context, Result};
use anyref_audio::{
    AudioPreprocessor, AudioPreprocessorConfig, ImageBindAudio, ImageBindAudioConfig, Waveform,
};
use anyref_weights::{Checkpoint, LoadOptions, load_module};
use burn::tensor::{Tensor, linalg};
use burn_flex::Flex;

const MODEL: &str = "assets/nano";
/// A gorilla, a toucan, a fox, a caribou, a chicken.
const SOUNDS: [&str; 5] = [
    "assets/demo/scene1-4-1.wav",
    "assets/demo/scene3-4-1.wav",
    "assets/demo/scene4-4-1.wav",
    "assets/demo/scene4-5-1.wav",
    "assets/demo/scene5-5-1.wav",
];

fn main() -> Result<()> {
    let mut sounds: Vec<String> = std::env::args().skip(1).collect();
    if sounds.is_empty() {
        sounds = SOUNDS.map(String::from).into();
    }
    let device = Default::default();
    let (preprocessor, encoder) = load(&device)?;
    // Names in the space of the embeddings, which the encoder learned by.
    let heads = Checkpoint::open("assets/nano/training/heads.safetensors")?;
    let read = |name: &str| anyhow::Ok(heads.require(name)?.read()?.convert::<f32>());
    let names = Tensor::<Flex, 2>::from_data(read("heads.names.weight")?, &device);
    let weight = Tensor::<Flex, 2>::from_data(read("heads.sound.weight")?, &device).transpose();
    let bias = Tensor::<Flex, 1>::from_data(read("heads.sound.bias")?, &device).unsqueeze();
    let nouns = std::fs::read_to_string("assets/nano/nouns.txt")?;

    for path in &sounds {
        let features = preprocessor.process(&Waveform::open(path)?)?;
        // One sound of three clips: [1, clips, 1, mel, frames].
        let embedding = encoder.embed_sounds(features.to_tensor(&device).unsqueeze());
        let shape = embedding.dims();
        let projected = embedding.matmul(weight.clone()) + bias.clone();
        let cosines = linalg::cosine_similarity(projected, names.clone(), 1, None);
        let mut named: Vec<(f32, &str)> = cosines.into_data().iter().zip(nouns.lines()).collect();
        named.sort_by(|one, other| other.0.total_cmp(&one.0));
        let nearest: Vec<String> = named[..3]
            .iter()
            .map(|(cosine, noun)| format!("{noun} {cosine:.2}"))
            .collect();
        println!("{path}: {shape:?}, {}", nearest.join(", "));
    }
    Ok(())
}

/// The audio encoder in the model folder, with its pre-processing.
fn load(device: &burn_flex::FlexDevice) -> Result<(AudioPreprocessor, ImageBindAudio<Flex>)> {
    let file = Path::new(MODEL).join("config.json");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("{}: run this in the repository's root", file.display()))?;
    let config: serde_json::Value = serde_json::from_str(&text)?;
    let audio = &config["audio"];
    let preprocessor: AudioPreprocessorConfig =
        serde_json::from_value(audio["preprocessor"].clone())?;
    let encoder: ImageBindAudioConfig = serde_json::from_value(audio["encoder"].clone())?;
    let mut encoder = encoder.init(device);
    let options = LoadOptions::default().with_prefix("audio_encoder.");
    load_module(&mut encoder, &Checkpoint::open(MODEL)?, &options)?;
    Ok((AudioPreprocessor::new(preprocessor), encoder))
}
