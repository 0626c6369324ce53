//! Embeddings of sounds by an ImageBind audio encoder, and how alike the sounds are by them.
//!
//! ```sh
//! cargo run --release -p anyref-audio --example embed_sound
//! cargo run --release -p anyref-audio --example embed_sound -- SOUND SOUND...
//! ```
//!
//! Sounds are WAV, FLAC, Ogg Vorbis or MP3. The encoder is the shipped model's; `imagebind_huge.pth`
//! is loaded likewise, with the rules of `anyref_audio::imagebind::import`.

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

    let mut embeddings = Vec::new();
    for path in &sounds {
        let waveform = Waveform::open(path)?;
        let features = preprocessor.process(&waveform)?;
        println!(
            "{path}: {:.2} s, features {:?}",
            waveform.seconds(),
            features.shape
        );
        // One sound of three clips: [1, clips, 1, mel, frames].
        embeddings.push(encoder.embed_sounds(features.to_tensor(&device).unsqueeze()));
    }
    let embeddings: Tensor<Flex, 2> = Tensor::cat(embeddings, 0);
    println!("embeddings: {:?}", embeddings.dims());

    let norm = linalg::l2_norm(embeddings.clone(), 1);
    let unit = embeddings / norm;
    let cosines = unit.clone().matmul(unit.transpose()).into_data();
    let cosines: Vec<f32> = cosines.iter().collect();
    for (path, row) in sounds.iter().zip(cosines.chunks(sounds.len())) {
        let row: Vec<String> = row.iter().map(|cosine| format!("{cosine:6.3}")).collect();
        println!("{} {path}", row.join(" "));
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
