//! Times the parts of a whole model with random weights, for `cargo xtask bench parts`.
//!
//!     parts_bench BACKEND PRESET DTYPE [SAM]
//!
//! DTYPE is a type of floats, or a format of blocks that the matrices of the encoders are rounded
//! to, f32 otherwise. SAM replaces that of the preset: vit-b, vit-l or vit-h.
//!
//! Prints what it is as JSON on one line, then answers every line with the name of a part by the
//! seconds of one run of it. Nothing leaves the device but the tokens of an answer and a number
//! that shows that all is done.

use std::error::Error;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::time::Instant;

use anyref_core::quantization::{BlockType, written_block_type};
use anyref_core::{
    AnyRefConfig, AnyRefModel, BackendName, EncoderBlocks, OnDevice, SamConfig, cast_weights,
};
use anyref_decoder::refocus::ObjectToken;
use anyref_llm::{GenerationConfig, GenerationInput, generate};
use anyref_ops::DeviceWatch;
use anyref_vision::sam::SamVisionConfig;
use anyref_weights::{WeightType, with_stored_layout};
use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Distribution, Int, Tensor};

type Failure = Box<dyn Error>;

/// Tokens of a prompt, including the picture's.
const PROMPT: usize = 400;
/// Prompts decoded at once.
const PROMPTS: usize = 64;
/// Tokens of an answer.
const ANSWER: usize = 32;

fn main() -> Result<(), Failure> {
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
    let blocks = written_block_type(dtype).ok();
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
    /// Format of the encoders' matrices.
    blocks: Option<BlockType>,
}

impl OnDevice for Bench {
    type Output = Result<(), Failure>;

    fn run<B: Backend>(self, device: &B::Device) -> Self::Output {
        let mut parts = Parts {
            model: self.config.init::<B>(device),
            config: self.config,
            dtype: self.dtype,
            blocks: self.blocks,
            drawn: Vec::new(),
        };
        println!("{{\"device\": {:?}}}", B::name(device));
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            parts.draw(&line);
            B::sync(device)?;
            let start = Instant::now();
            parts.run(&line)?;
            println!("{:.6e}", start.elapsed().as_secs_f64());
        }
        Ok(())
    }
}

/// A module with its weights in another type, as they would lie in memory had they been loaded from
/// a file.
fn drawn<B: Backend, M: Module<B>>(module: M, dtype: DType) -> M {
    with_stored_layout(cast_weights(module, dtype))
}

/// Model with the inputs of its parts.
struct Parts<B: Backend> {
    model: AnyRefModel<B>,
    config: AnyRefConfig,
    dtype: DType,
    blocks: Option<BlockType>,
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
            "prompt" | "answer" => &["llm"],
            "mask" | "prompt-mask" | "prompt-masks" => &["mask"],
            _ => &["clip", "sam", "llm", "mask"],
        };
        for part in parts {
            if self.drawn.contains(part) {
                continue;
            }
            self.drawn.push(part);
            // Weights are initialised on first use, and cast one by one here.
            let fresh = self.config.init::<B>(&self.device());
            let (dtype, model) = (self.dtype, &mut self.model);
            match *part {
                "clip" => {
                    model.vision_tower = drawn(fresh.vision_tower, dtype);
                    model.mm_projector = drawn(fresh.mm_projector, dtype);
                }
                "sam" => model.image_encoder = drawn(fresh.image_encoder, dtype),
                "imagebind" => {
                    model.audio_encoder = drawn(fresh.audio_encoder, dtype);
                }
                "llm" => model.llm = drawn(fresh.llm, dtype),
                _ => {
                    model.text_hidden_fcs = drawn(fresh.text_hidden_fcs, dtype);
                    model.prompt_encoder = drawn(fresh.prompt_encoder, dtype);
                    model.mask_decoder = drawn(fresh.mask_decoder, dtype);
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

    /// Runs a part to completion.
    fn run(&self, part: &str) -> Result<(), Failure> {
        match part {
            "clip" => done(self.clip()),
            "sam" => done(self.sam()),
            "imagebind" => done(self.imagebind().ok_or("the model does not hear")?),
            "prompt" => done(self.answer(1)?),
            "answer" => done(self.answer(ANSWER)?),
            "mask" => done(self.mask(self.random([1, self.width(), self.grid(), self.grid()]))),
            "prompt-mask" => done(self.prompt_masks(1)),
            "prompt-masks" => done(self.prompt_masks(PROMPTS)),
            "all" => {
                let features = self.clip();
                let embedding = self.sam();
                self.answer(ANSWER)?;
                done(features)?;
                done(self.mask(embedding))
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
        values.cast(self.dtype)
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
        self.model
            .picture_features(self.random([1, 3, side, side]))
            .tokens
    }

    fn sam(&self) -> Tensor<B, 4> {
        let side = self.masks().image_encoder.image_size;
        let model = self.model.mask_branch();
        model.image_encoder.forward(self.random([1, 3, side, side]))
    }

    fn imagebind(&self) -> Option<Tensor<B, 3>> {
        let audio = self.config.audio.as_ref()?;
        let encoder = &audio.encoder;
        let clips = self.random([1, 3, 1, encoder.num_mel_bins, encoder.target_length]);
        Some(self.model.audio_encoder.as_ref()?.forward(clips))
    }

    /// Greedily generates an answer and returns the hidden states.
    fn answer(&self, tokens: usize) -> Result<Tensor<B, 3>, Failure> {
        let llm = &self.model.llm;
        let ids = (0..PROMPT).map(|at| ((at * 7919) % self.config.llm.vocab_size) as i32);
        let ids = ids.collect::<Vec<_>>();
        let device = self.device();
        let ids = Tensor::<B, 1, Int>::from_ints(ids.as_slice(), &device);
        let input = GenerationInput::new(llm.embed(ids.reshape([1, PROMPT])));
        let config = GenerationConfig::greedy(tokens);
        let written = generate(llm, input, &config, |_, _| ControlFlow::Continue(()))?;
        match written.tokens.iter().all(|row| row.len() == tokens) {
            true => Ok(written.hidden),
            false => Err("an answer ended early".into()),
        }
    }

    /// Masks of prompts by themselves.
    fn prompt_masks(&self, count: usize) -> Tensor<B, 4> {
        let (width, grid) = (self.width(), self.grid());
        let embedding = self.random([1, width, grid, grid]);
        let prompts = self.random([count, width]);
        self.model.decode_masks(embedding, prompts).low_res_masks
    }

    /// Mask of one object, whose state is refocused over an answer.
    fn mask(&self, embedding: Tensor<B, 4>) -> Tensor<B, 4> {
        let llm = &self.config.llm;
        let (heads, wide) = (llm.num_attention_heads, llm.head_width());
        let total = PROMPT + ANSWER;
        let object = ObjectToken {
            row: 0,
            position: total - 1,
            start: PROMPT,
            end: total - 1,
            context_start: 0,
        };
        let prompts = self.model.object_prompts(
            self.random([1, heads, wide]),
            self.random([1, llm.kv_heads(), total, wide]),
            self.random([1, ANSWER, llm.hidden_size]),
            PROMPT,
            vec![object],
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
