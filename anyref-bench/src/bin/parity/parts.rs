//! Parts by themselves.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use anyref_core::official::{
    Published, audio_config, audio_options, clip_config, clip_options, decoder_options,
    encoder_options, language, llama_options, region_encoder_config, region_encoder_options,
    sam_parts, text_config, text_options,
};
use anyref_core::{ModelOptions, SamModel};
use anyref_llm::{Llama, LlamaInput};
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, WeightType, load_module};
use burn::module::Module;
use burn::tensor::{Int, Tensor};

use crate::llava::regions;
use crate::measured::{B, Measured, OUTPUT, values};
use crate::sam::{Masks, Prompts, answer_point};

/// Number of tokens read one by one after the prompt; they repeat its first ones.
const NEXT: usize = 16;

/// Loads a part and computes.
pub fn measure(
    part: &str,
    path: &Path,
    input: &Fixture,
    times: usize,
) -> Result<Measured, Box<dyn Error>> {
    let (device, start) = (Default::default(), Instant::now());
    let published = Published::open(path)?;
    Ok(match part {
        "clip" => {
            let model = clip_config(&published)?.init::<B>(&device);
            let model = load(model, &published, clip_options(published.kind))?;
            let measured = Measured::new(start);
            let pixels = input.tensor::<B, 4>("input", &device);
            measured.times(times, || model.features(pixels.clone(), -2))
        }
        "imagebind" => {
            let model = audio_config(&published)?.encoder.init::<B>(&device);
            let model = load(model, &published, audio_options())?;
            let measured = Measured::new(start);
            let clips = input.tensor::<B, 5>("input", &device);
            measured.times(times, || model.forward(clips.clone()))
        }
        "imagebind-text" => {
            let model = text_config(&published)?.init::<B>(&device);
            let model = load(model, &published, text_options())?;
            let measured = Measured::new(start);
            let ids = input.int_tensor::<B, 2>("input", &device);
            measured.times(times, || model.forward(ids.clone()))
        }
        "mask-decoder" => {
            let parts = sam_parts(&published)?;
            let model = Masks::<B> {
                prompt_encoder: parts.prompt_encoder.init(&device),
                mask_decoder: parts.mask_decoder.init(&device),
            };
            let model = load(model, &published, decoder_options(published.kind))?;
            let measured = Measured::new(start);
            let embedding = input.tensor::<B, 4>("input", &device);
            measured.times(times, || model.decode(embedding.clone()))
        }
        "sam-b" | "sam-h" => {
            let model = sam_parts(&published)?.image_encoder.init::<B>(&device);
            let model = load(model, &published, encoder_options(published.kind))?;
            let measured = Measured::new(start);
            let pixels = input.tensor::<B, 4>("input", &device);
            measured.times(times, || model.forward(pixels.clone()))
        }
        "sam-h-prompts" => {
            let options = ModelOptions::new(WeightType::Auto);
            let sam = SamModel::<B>::of_published(&published, options, &device)?;
            let measured = Measured::new(start);
            let prompts = Prompts::read(input)?;
            measured.times(times, || prompts.answer(&sam))
        }
        "sam2-t" | "sam2-s" | "sam2-b" | "sam2-l" => {
            let options = ModelOptions::new(WeightType::F32);
            let sam = SamModel::<B>::of_published(&published, options, &device)?;
            let measured = Measured::new(start);
            let pixels = input.tensor::<B, 4>("input", &device);
            measured.times(times, || answer_point(&sam, pixels.clone()))
        }
        "region-encoder" => {
            let config = region_encoder_config(&published)?;
            let model = config.init::<B>(&device);
            let model = load(model, &published, region_encoder_options())?;
            let measured = Measured::new(start);
            let state = |level| input.tensor::<B, 3>(&format!("states.{level}"), &device);
            let states: Vec<_> = (0..config.num_levels).map(state).collect();
            let boxes = regions(input);
            measured.times(times, || model.regions(&model.fuse(states.clone()), &boxes))
        }
        _ => {
            let config = language(&published)?.llm;
            let options =
                llama_options(config.tie_word_embeddings).with_matrices(Some(WeightType::Auto));
            let model = load(config.init::<B>(&device), &published, options)?;
            let mut measured = Measured::new(start);
            let ids = input.int_tensor::<B, 2>("input", &device);
            for _ in 0..times {
                read_on(&model, ids.clone(), &mut measured);
            }
            measured
        }
    })
}

/// Logits of the prompt's last token and of each token after it, with the seconds of each.
fn read_on(model: &Llama<B>, prompt: Tensor<B, 2, Int>, measured: &mut Measured) {
    let mut cache = model.new_cache();
    let mut logits = Vec::new();
    let steps = (0..NEXT).map(|at| prompt.clone().narrow(1, at, 1));
    for (at, ids) in std::iter::once(prompt.clone()).chain(steps).enumerate() {
        let start = Instant::now();
        let length = ids.dims()[1];
        let input = LlamaInput::new(model.embed(ids));
        let hidden = model.forward(input, Some(&mut cache)).hidden;
        logits.push(model.logits(hidden.narrow(1, length - 1, 1)));
        let seconds = start.elapsed().as_secs_f64();
        match at {
            0 => measured.runs.push(seconds),
            _ => measured.steps.push(seconds),
        }
    }
    measured.outputs = vec![(OUTPUT, values(Tensor::cat(logits, 1)))];
}

/// Loads a module from the published part.
fn load<M: Module<B>>(
    mut module: M,
    published: &Published,
    options: LoadOptions,
) -> anyref_weights::Result<M> {
    load_module(&mut module, &published.checkpoint, &options)?;
    Ok(module)
}
