//! Sa2VA, from a picture and a question to words and masks.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyref_core::{
    Answer, AnyRef, Companions, Layout, LowResMask, ModelOptions, ModelPlace, Prompt, Reference,
    ReferenceBank, splice,
};
use anyref_llm::LlamaInput;
use anyref_vision::preprocess::{PixelValues, TilePreprocessor};
use anyref_weights::WeightType;
use anyref_weights::testing::Fixture;
use burn::tensor::TensorData;
use image::RgbImage;

use crate::llava::ids;
use crate::measured::{B, Measured, values};
use crate::sam::picture;

/// The phrase whose question `reference_sa2va.py` asks.
const PHRASE: &str = "the red dog";
/// Tokens of an answer at most: the reference's are fewer.
const ANSWER: usize = 16;

/// Loads the model, asks about the picture in tiles, and compares the words with the reference's.
///
/// # Errors
/// When the words differ.
pub fn measure(
    part: &str,
    path: &Path,
    [input, expected]: [&Fixture; 2],
    times: usize,
    tiles: usize,
) -> Result<Measured, Box<dyn Error>> {
    let weights = match part.ends_with("-f32") {
        true => WeightType::F32,
        false => WeightType::Auto,
    };
    let start = Instant::now();
    let mut anyref = {
        let (place, companions) = (ModelPlace::open(path)?, Companions::default());
        let options = ModelOptions::new(weights);
        AnyRef::<B>::load_opened(&place, &companions, options, &Default::default())?
    };
    let mut measured = Measured::new(start);
    anyref.config.set_max_tiles(tiles)?;
    anyref.generation.max_new_tokens = ANSWER;
    let image = picture(input)?;
    let told: Vec<u32> = expected.data("answer").iter::<u32>().collect();
    let told = anyref.tokenizer.decode(&told)?;
    for _ in 0..times {
        let start = Instant::now();
        let answer = ask(&anyref, &image)?;
        measured.runs.push(start.elapsed().as_secs_f64());
        if answer.raw != told.trim() {
            return Err(format!("answered {:?}, the reference {told:?}", answer.raw).into());
        }
        measured.outputs = masks(&answer);
    }
    measured
        .outputs
        .splice(0..0, states(&anyref, input, &image)?);
    Ok(measured)
}

/// Answer of a chat, which keeps the masks' logits.
fn ask(anyref: &AnyRef<B>, image: &RgbImage) -> anyref_core::Result<Answer> {
    let picture = anyref.picture(image)?;
    let prompt = Prompt::new([Reference::Text(PHRASE.into())]);
    let mut chat = anyref.chat(&picture);
    chat.ask(prompt, &mut |_| ControlFlow::Continue(()))
}

/// Logits of all masks, and their estimates.
fn masks(answer: &Answer) -> Vec<(&'static str, TensorData)> {
    let logits = answer.masks.iter().filter_map(|mask| mask.low_res.as_ref());
    let logits: Vec<f32> = logits.flat_map(LowResMask::logits).copied().collect();
    let scores: Vec<f32> = answer.masks.iter().map(|mask| mask.score).collect();
    let data = |values: Vec<f32>| {
        let count = values.len();
        TensorData::new(values, [count])
    };
    vec![("masks", data(logits)), ("scores", data(scores))]
}

/// The picture's tokens, and the logits of the first token of the answer.
fn states(
    anyref: &AnyRef<B>,
    input: &Fixture,
    image: &RgbImage,
) -> Result<Vec<(&'static str, TensorData)>, Box<dyn Error>> {
    let tower = anyref.config.vision_tower.tiled().ok_or("no tiles")?;
    let squares = TilePreprocessor::new(tower.encoder.image_size, tower.max_tiles)?.process(image);
    let (device, llm) = (anyref.device(), &anyref.model.llm);
    let pixels = PixelValues::batch::<B>(&squares, device);
    let tokens = anyref.model.tiled_features(pixels, squares.len()).tokens;
    let count = tokens.dims()[1];
    let layout = Layout::new(&ids(input), anyref.special_tokens(), count, &[])?;
    let bank = ReferenceBank::default();
    let spliced = splice(llm, &[layout], Some(tokens.clone()), &bank, 0, device);
    let hidden = llm
        .forward(LlamaInput::new(spliced.embeddings), None)
        .hidden;
    let last = hidden.dims()[1] - 1;
    let logits = llm.logits(hidden.narrow(1, last, 1));
    Ok(vec![
        ("picture tokens", values(tokens)),
        ("logits", values(logits)),
    ])
}
