//! Times the parts of a whole model with random weights, for `cargo xtask bench parts`.
//!
//!     parts_bench BACKEND PRESET DTYPE [SAM]
//!
//! DTYPE is a type of floats, or a format of blocks or int8 that the matrices of the encoders are
//! rounded to, f32 otherwise. Weights have the types and the layout of a model that the program
//! `anyref` loads from safetensors with `--dtype`; memory is allocated as there. SAM replaces that
//! of the preset: vit-b, vit-l or vit-h.
//!
//! Prints what it is as JSON on one line, then answers every line with the name of a part by the
//! seconds of one run of it. Nothing leaves the device but the tokens of an answer and a number
//! that shows that all is done. A line `error PART`, of an encoder, is answered by the relative
//! root mean square error of its features against those of f32.

use std::error::Error;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::time::Instant;

use anyref_core::allocator::{MiMalloc, keep_freed_memory};
use anyref_core::{
    AnyRefConfig, AnyRefModel, BackendName, EncoderBlocks, EncoderFormat, OnDevice, SamConfig,
    as_loaded,
};
use anyref_decoder::refocus::ObjectToken;
use anyref_llm::{GenerationConfig, GenerationInput, generate};
use anyref_ops::{DeviceWatch, on_processor};
use anyref_vision::sam::SamVisionConfig;
use anyref_weights::WeightType;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Distribution, Int, Tensor};

/// Allocator of the program `anyref`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Failure = Box<dyn Error>;

/// Tokens of a prompt, including the picture's.
const PROMPT: usize = 400;
/// Tokens of a long prompt.
const LONG_PROMPT: usize = 2000;
/// Objects of one answer.
const OBJECTS: usize = 16;
/// Prompts decoded at once.
const PROMPTS: usize = 64;
/// Tokens of an answer.
const ANSWER: usize = 32;

fn main() -> Result<(), Failure> {
    keep_freed_memory();
    DeviceWatch::start().run(run)?
}

fn run() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [backend, preset, dtype, sam @ ..] = &words[..] else {
        return Err("usage: parts_bench BACKEND PRESET DTYPE [SAM]".into());
    };
    let mut config = AnyRefConfig::preset(preset).ok_or_else(|| format!("no preset {preset}"))?;
    // An adapter is merged for inference.
    config.lora = None;
    if let [sam] = sam {
        config.image_encoder = Some(match sam.as_str() {
            "vit-b" => SamVisionConfig::vit_base().into(),
            "vit-l" => SamVisionConfig::vit_large().into(),
            "vit-h" => SamVisionConfig::vit_huge().into(),
            other => return Err(format!("no SAM {other}: give vit-b, vit-l or vit-h").into()),
        });
    }
    let blocks = dtype.parse::<EncoderFormat>().ok();
    let dtype = match blocks {
        Some(_) => DType::F32,
        None => dtype.parse::<WeightType>()?.fixed().unwrap_or(DType::F32),
    };
    let backend: BackendName = backend.parse()?;
    let bench = Bench {
        config,
        dtype,
        blocks,
    };
    backend.dispatch(None, bench)?
}

/// Benchmark of one part.
struct Bench {
    config: AnyRefConfig,
    dtype: DType,
    /// Form of the encoders' matrices.
    blocks: Option<EncoderFormat>,
}

impl OnDevice for Bench {
    type Output = Result<(), Failure>;

    fn run<B: Backend>(self, device: &B::Device) -> Self::Output {
        let mut parts = Parts {
            model: self.config.init::<B>(device),
            config: self.config,
            dtype: self.dtype,
            blocks: self.blocks,
            inputs: None,
            prompts: None,
            drawn: Vec::new(),
        };
        println!("{{\"device\": {:?}}}", B::name(device));
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if let Some(part) = line.strip_prefix("error ") {
                println!("{:.3e}", parts.error(part)?);
                continue;
            }
            parts.draw(&line);
            parts.input(&line);
            B::sync(device)?;
            let start = Instant::now();
            parts.run(&line)?;
            println!("{:.6e}", start.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// Model with the inputs of its parts.
struct Parts<B: Backend> {
    model: AnyRefModel<B>,
    config: AnyRefConfig,
    dtype: DType,
    blocks: Option<EncoderFormat>,
    /// Input that was drawn for the next run.
    inputs: Option<Tensor<B, 4>>,
    /// Prompts that were drawn for the next run, `[prompts, width]`.
    prompts: Option<Tensor<B, 2>>,
    /// Parts whose weights have been converted.
    drawn: Vec<&'static str>,
}

impl<B: Backend> Parts<B> {
    /// Initialises the weights that a part needs, on its first use.
    fn draw(&mut self, part: &str) {
        let parts: &[&str] = match part {
            "clip" => &["clip"],
            "sam" => &["sam"],
            "imagebind" => &["imagebind"],
            "prompt" | "long-prompt" | "answer" => &["llm"],
            "mask" | "object-masks" | "prompt-mask" | "prompt-masks" => &["mask"],
            _ => &["clip", "sam", "llm", "mask"],
        };
        for part in parts {
            if self.drawn.contains(part) {
                continue;
            }
            self.drawn.push(part);
            // Weights are initialised on first use, and cast one by one here.
            let device = self.device();
            let fresh = self.config.init::<B>(&device);
            let (dtype, model) = (self.dtype, &mut self.model);
            match *part {
                "clip" => {
                    model.vision_tower = as_loaded(fresh.vision_tower, dtype, &device);
                    model.mm_projector = as_loaded(fresh.mm_projector, dtype, &device);
                }
                "sam" => model.image_encoder = as_loaded(fresh.image_encoder, dtype, &device),
                "imagebind" => {
                    model.audio_encoder = as_loaded(fresh.audio_encoder, dtype, &device);
                }
                "llm" => model.llm = as_loaded(fresh.llm, dtype, &device),
                _ => {
                    model.text_hidden_fcs = as_loaded(fresh.text_hidden_fcs, dtype, &device);
                    model.prompt_encoder = as_loaded(fresh.prompt_encoder, dtype, &device);
                    model.mask_decoder = as_loaded(fresh.mask_decoder, dtype, &device);
                }
            }
            let asked = EncoderBlocks {
                vision: self.blocks.filter(|_| *part != "imagebind"),
                audio: self.blocks.filter(|_| *part == "imagebind"),
            };
            // Of the parts that exist: those drawn.
            model.quantize_encoders(asked);
        }
    }

    /// Error of an encoder's features against those of the same weights in f32.
    fn error(&mut self, part: &str) -> Result<f64, Failure> {
        let features = |parts: &Self| -> Result<Vec<f32>, Failure> {
            let values = match part {
                "clip" => parts.clip().into_data(),
                "sam" => parts.sam().into_data(),
                "imagebind" => parts
                    .imagebind()
                    .ok_or("the model does not hear")?
                    .into_data(),
                other => return Err(format!("{other} is no encoder").into()),
            };
            Ok(values.iter::<f32>().collect())
        };
        let device = self.device();
        let asked = (self.dtype, self.blocks);
        (self.dtype, self.blocks) = (DType::F32, None);
        self.drawn.clear();
        self.draw(part);
        self.input(part);
        B::seed(&device, 1);
        let exact = features(&*self)?;
        (self.dtype, self.blocks) = asked;
        let model = self.model.clone();
        match part {
            "clip" => {
                self.model.vision_tower = as_loaded(model.vision_tower, self.dtype, &device);
                self.model.mm_projector = as_loaded(model.mm_projector, self.dtype, &device);
            }
            "sam" => {
                self.model.image_encoder = as_loaded(model.image_encoder, self.dtype, &device);
            }
            _ => self.model.audio_encoder = as_loaded(model.audio_encoder, self.dtype, &device),
        }
        self.model.quantize_encoders(EncoderBlocks {
            vision: self.blocks,
            audio: self.blocks,
        });
        B::seed(&device, 1);
        let found = features(&*self)?;
        let square = |x: f64| x * x;
        let pairs = found.iter().zip(&exact);
        let errors = pairs.map(|(&found, &exact)| square(f64::from(found) - f64::from(exact)));
        let sizes = exact.iter().map(|&exact| square(f64::from(exact)));
        Ok((errors.sum::<f64>() / sizes.sum::<f64>()).sqrt())
    }

    /// Draws the inputs of encoders and of the mask decoder, which other programs have as well
    /// before their time begins.
    fn input(&mut self, part: &str) {
        let (width, grid) = (self.width(), self.grid());
        let count = if part == "prompt-masks" { PROMPTS } else { 1 };
        self.inputs = match part {
            "clip" => {
                let side = self.config.vision_tower.image_size();
                Some(self.random([1, 3, side, side]))
            }
            "sam" => {
                let side = self.masks().image_encoder.image_size;
                Some(self.random([1, 3, side, side]))
            }
            "prompt-mask" | "prompt-masks" => Some(self.random([1, width, grid, grid])),
            _ => None,
        };
        self.prompts = Some(self.random([count, width]));
    }

    /// Runs a part to completion.
    fn run(&self, part: &str) -> Result<(), Failure> {
        match part {
            "clip" => done(self.clip()),
            "sam" => done(self.sam()),
            "imagebind" => done(self.imagebind().ok_or("the model does not hear")?),
            "prompt" => done(self.answer(PROMPT, 1)?),
            "long-prompt" => done(self.answer(LONG_PROMPT, 1)?),
            "answer" => done(self.answer(PROMPT, ANSWER)?),
            "mask" => done(self.object_masks(self.embedding(), 1)),
            "object-masks" => done(self.object_masks(self.embedding(), OBJECTS)),
            "prompt-mask" | "prompt-masks" => done(self.prompt_masks()?),
            "all" => {
                let features = self.clip();
                let embedding = self.sam();
                self.answer(PROMPT, ANSWER)?;
                done(features)?;
                done(self.object_masks(embedding, 1))
            }
            other => Err(format!("no part {other}").into()),
        }
    }

    fn device(&self) -> B::Device {
        self.model.llm.model.norm.weight.lazy_device()
    }

    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<B, D> {
        let device = self.device();
        let values = Tensor::<B, D>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        // On the processor values are f32 whatever type the weights have.
        match on_processor::<B>() {
            true => values,
            false => values.cast(self.dtype),
        }
    }

    fn masks(&self) -> SamConfig {
        self.config.sam().expect("a preset with masks")
    }

    fn grid(&self) -> usize {
        self.masks().prompt_encoder.image_embedding_size
    }

    fn width(&self) -> usize {
        self.masks().image_encoder.output_channels
    }

    fn clip(&self) -> Tensor<B, 3> {
        let side = self.config.vision_tower.image_size();
        let pixels = self.inputs.clone();
        let pixels = pixels.unwrap_or_else(|| self.random([1, 3, side, side]));
        self.model.picture_features(pixels).tokens
    }

    fn sam(&self) -> Tensor<B, 4> {
        let side = self.masks().image_encoder.image_size;
        let model = self.model.mask_branch();
        let pixels = self.inputs.clone();
        let pixels = pixels.unwrap_or_else(|| self.random([1, 3, side, side]));
        model.image_encoder.forward(pixels)
    }

    fn imagebind(&self) -> Option<Tensor<B, 3>> {
        let audio = self.config.audio.as_ref()?;
        let encoder = &audio.encoder;
        let clips = self.random([1, 3, 1, encoder.num_mel_bins, encoder.target_length]);
        Some(self.model.audio_encoder.as_ref()?.forward(clips))
    }

    /// Greedily generates an answer to a prompt of `prompt` tokens and returns the hidden states.
    fn answer(&self, prompt: usize, tokens: usize) -> Result<Tensor<B, 3>, Failure> {
        let llm = &self.model.llm;
        let ids = (0..prompt).map(|at| ((at * 7919) % self.config.llm.vocab_size) as i32);
        let ids = ids.collect::<Vec<_>>();
        let device = self.device();
        let ids = Tensor::<B, 1, Int>::from_ints(ids.as_slice(), &device);
        let input = GenerationInput::new(llm.embed(ids.reshape([1, prompt])));
        let config = GenerationConfig::greedy(tokens);
        let written = generate(llm, input, &config, |_, _| ControlFlow::Continue(()))?;
        match written.tokens.iter().all(|row| row.len() == tokens) {
            true => Ok(written.hidden),
            false => Err("an answer ended early".into()),
        }
    }

    /// Masks of prompts by themselves.
    fn prompt_masks(&self) -> Result<Tensor<B, 4>, Failure> {
        let (Some(embedding), Some(prompts)) = (self.inputs.clone(), self.prompts.clone()) else {
            return Err("no input was drawn".into());
        };
        Ok(self.model.decode_masks(embedding, prompts).low_res_masks)
    }

    /// Embedding of a picture.
    fn embedding(&self) -> Tensor<B, 4> {
        self.random([1, self.width(), self.grid(), self.grid()])
    }

    /// Masks of some objects, whose states are refocused over parts of an answer.
    fn object_masks(&self, embedding: Tensor<B, 4>, count: usize) -> Tensor<B, 4> {
        let llm = &self.config.llm;
        let (heads, wide) = (llm.num_attention_heads, llm.head_width());
        let total = PROMPT + ANSWER;
        let objects = (0..count).map(|index| {
            let [start, next] = [index, index + 1].map(|part| PROMPT + ANSWER * part / count);
            ObjectToken {
                row: 0,
                position: next - 1,
                start,
                end: next - 1,
                context_start: 0,
            }
        });
        let prompts = self.model.object_prompts(
            self.random([count, heads, wide]),
            self.random([1, llm.kv_heads(), total, wide]),
            self.random([1, ANSWER, llm.hidden_size]),
            PROMPT,
            objects.collect(),
        );
        self.model.decode_masks(embedding, prompts).low_res_masks
    }
}

/// Waits for a result by reading one of its numbers.
fn done<B: Backend, const D: usize>(result: Tensor<B, D>) -> Result<(), Failure> {
    let value = result.slice([(); D].map(|()| 0..1)).into_data();
    match value.iter::<f32>().all(f32::is_finite) {
        true => Ok(()),
        false => Err("a value is not finite".into()),
    }
}
