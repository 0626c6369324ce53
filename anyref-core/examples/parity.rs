//! Our side of `cargo xtask parity`: loads a part as it is published, computes, and prints seconds and the
//! greatest difference from the reference as JSON.
//!
//!     parity PART FOLDER
//!
//! The folder has the part (`part/` or `part.pth`), `input.safetensors` and `expected.safetensors`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use anyref_core::official::{
    Published, audio_config, audio_options, clip_config, clip_options, encoder_options, language,
    llama_options, sam_parts,
};
use anyref_llm::LlamaInput;
use anyref_weights::testing::{Fixture, max_abs_difference};
use anyref_weights::{LoadOptions, load_module};
use burn::backend::Flex;
use burn::module::Module;
use burn::tensor::{DType, Tensor, TensorData};

type B = Flex;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [part, folder] = &words[..] else {
        return Err("usage: parity PART FOLDER".into());
    };
    let folder = Path::new(folder);
    let whole = folder.join("part");
    let path = if whole.is_dir() {
        whole
    } else {
        folder.join("part.pth")
    };
    let input = Fixture::open(folder.join("input.safetensors"));
    let (device, start) = (Default::default(), Instant::now());
    let published = Published::open(&path)?;
    let (loaded, output) = match part.as_str() {
        "clip" => {
            let model = clip_config(&published)?.init::<B>(&device);
            let model = load(model, &published, clip_options(published.kind))?;
            let loaded = Instant::now();
            (
                loaded,
                data(model.features(input.tensor("input", &device), -2)),
            )
        }
        "imagebind" => {
            let model = audio_config(&published)?.encoder.init::<B>(&device);
            let model = load(model, &published, audio_options())?;
            let loaded = Instant::now();
            (loaded, data(model.forward(input.tensor("input", &device))))
        }
        "llama" => {
            let config = language(&published)?.llm;
            let options = llama_options(config.tie_word_embeddings).with_cast(None);
            let model = load(config.init::<B>(&device), &published, options)?;
            let loaded = Instant::now();
            let embedded = model.embed(input.int_tensor("input", &device));
            let output = model.forward(LlamaInput::new(embedded), None);
            (loaded, data(model.logits(output.hidden)))
        }
        _ => {
            let model = sam_parts(&published)?.image_encoder.init::<B>(&device);
            let model = load(model, &published, encoder_options(published.kind))?;
            let loaded = Instant::now();
            (loaded, data(model.forward(input.tensor("input", &device))))
        }
    };
    let done = Instant::now();
    let expected = Fixture::open(folder.join("expected.safetensors")).data("output");
    let scale = expected
        .iter::<f64>()
        .fold(0.0, |most: f64, x| most.max(x.abs()));
    println!(
        "{{\"load\": {}, \"run\": {}, \"error\": {}, \"scale\": {scale}}}",
        (loaded - start).as_secs_f64(),
        (done - loaded).as_secs_f64(),
        max_abs_difference(&output, &expected)
    );
    Ok(())
}

/// Fills a module from the published part.
fn load<M: Module<B>>(
    mut module: M,
    published: &Published,
    options: LoadOptions,
) -> anyref_weights::Result<M> {
    load_module(&mut module, &published.checkpoint, &options)?;
    Ok(module)
}

/// Values in f32.
fn data<const D: usize>(tensor: Tensor<B, D>) -> TensorData {
    tensor.into_data().convert_dtype(DType::F32)
}
