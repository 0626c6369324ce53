//! Our side of `cargo xtask parity`: loads a part as it is published, computes, and prints seconds and the
//! greatest difference from the reference as JSON.
//!
//!     parity PART FOLDER [TIMES]
//!
//! The folder has the part (`part/` or `part.pth`), `input.safetensors` and `expected.safetensors`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use anyref_core::official::{
    Published, audio_config, audio_options, clip_config, clip_options, decoder_options,
    encoder_options, language, llama_options, sam_parts, text_config, text_options,
};
use anyref_decoder::{MaskDecoder, MaskDecoderInput, PromptEncoder, PromptInput};
use anyref_llm::{Llama, LlamaInput};
use anyref_ops::testing::max_abs_difference;
use anyref_weights::hub::local_path;
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, WeightType, load_module};
use burn::backend::Flex;
use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Int, Tensor, TensorData};

type B = Flex;

/// Tokens read one by one after the prompt: its first ones.
const NEXT: usize = 16;

/// SAM without its image encoder.
#[derive(Module, Debug)]
struct Masks<B: Backend> {
    prompt_encoder: PromptEncoder<B>,
    mask_decoder: MaskDecoder<B>,
}

/// Seconds, and the last output.
#[derive(Default)]
struct Measured {
    load: f64,
    runs: Vec<f64>,
    steps: Vec<f64>,
    output: Option<TensorData>,
}

impl Measured {
    fn new(start: Instant) -> Self {
        Self {
            load: start.elapsed().as_secs_f64(),
            ..Self::default()
        }
    }

    /// Computes so often.
    fn times<const D: usize>(mut self, times: usize, run: impl Fn() -> Tensor<B, D>) -> Self {
        for _ in 0..times {
            let start = Instant::now();
            self.output = Some(run().into_data().convert_dtype(DType::F32));
            self.runs.push(start.elapsed().as_secs_f64());
        }
        self
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (part, folder, times) = match &words[..] {
        [part, folder] => (part, folder, 1),
        [part, folder, times] => (part, folder, times.parse()?),
        _ => return Err("usage: parity PART FOLDER [TIMES]".into()),
    };
    let folder = Path::new(folder);
    let whole = folder.join("part");
    let path = if whole.is_dir() {
        whole
    } else {
        folder.join("part.pth")
    };
    let measured = measure(
        part,
        &path,
        &Fixture::open(folder.join("input.safetensors")),
        times,
    )?;
    let expected = Fixture::open(folder.join("expected.safetensors")).data("output");
    let scale = expected
        .iter::<f64>()
        .fold(0.0, |most: f64, x| most.max(x.abs()));
    let output = measured.output.ok_or("TIMES is 0")?;
    println!(
        "{{\"load\": {}, \"runs\": {:?}, \"steps\": {:?}, \"error\": {}, \"scale\": {scale}}}",
        measured.load,
        measured.runs,
        measured.steps,
        max_abs_difference(&output, &expected)
    );
    Ok(())
}

fn measure(
    part: &str,
    path: &Path,
    input: &Fixture,
    times: usize,
) -> Result<Measured, Box<dyn Error>> {
    let (device, start) = (Default::default(), Instant::now());
    let published = Published::open(&local_path(path)?)?;
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

impl<B: Backend> Masks<B> {
    /// The mask of the embedding's own mean.
    fn decode(&self, image_embeddings: Tensor<B, 4>) -> Tensor<B, 4> {
        let [_, width, rows, columns] = image_embeddings.dims();
        let prompt = image_embeddings
            .clone()
            .reshape([1, 1, width, rows * columns])
            .mean_dim(3)
            .reshape([1, 1, width]);
        let encoded = self
            .prompt_encoder
            .forward(PromptInput::default().with_embeddings(prompt));
        let input = MaskDecoderInput {
            image_embeddings,
            image_pe: self.prompt_encoder.image_pe(),
            sparse: encoded.sparse,
            dense: encoded.dense,
            multimask_output: false,
        };
        self.mask_decoder.forward(input).low_res_masks
    }
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
    measured.output = Some(Tensor::cat(logits, 1).into_data());
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
