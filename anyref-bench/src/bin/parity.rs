//! Our side of `cargo xtask parity`: loads a part as it is published, computes, and prints seconds
//! and the greatest difference from the reference as JSON.
//!
//!     parity PART FOLDER [TIMES]
//!
//! The folder has the part (`part/` or `part.pth`), `input.safetensors` and `expected.safetensors`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use anyref_core::official::{
    Published, audio_config, audio_options, clip_config, clip_options, decoder_options,
    encoder_options, language, llama_options, region_encoder_config, region_encoder_options,
    sam_parts, text_config, text_options,
};
use anyref_core::{
    AnyRef, AnyRefModel, Companions, Layout, LowResMask, MaskPrompt, ModelOptions, ModelPlace,
    Multimask, ReferenceBank, SamForm, SamModel, splice,
};
use anyref_decoder::{
    MaskDecoder, MaskDecoderInput, MaskDecoderOutput, PromptEncoder, PromptInput,
    Sam2MaskDecoderInput,
};
use anyref_llm::{Llama, LlamaInput};
use anyref_ops::testing::max_abs_difference;
use anyref_vision::roi_align::RegionBox;
use anyref_weights::hub::local_path;
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, WeightType, load_module};
use burn::backend::Flex;
use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Int, Tensor, TensorData};
use image::RgbImage;

type B = Flex;

/// Number of tokens read one by one after the prompt; they repeat its first ones.
const NEXT: usize = 16;

/// SAM without its image encoder.
#[derive(Module, Debug)]
struct Masks<B: Backend> {
    prompt_encoder: PromptEncoder<B>,
    mask_decoder: MaskDecoder<B>,
}

/// Seconds of each run, and the last output.
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

    /// Runs a computation `times` times.
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
        "lisa-7b" => {
            let companions = Companions {
                clip: Some(path.with_file_name("clip")),
                ..Companions::default()
            };
            let options = ModelOptions::new(WeightType::Auto);
            let anyref = {
                let place = ModelPlace::Published(published);
                AnyRef::<B>::load_opened(&place, &companions, options, &device)?
            };
            let measured = Measured::new(start);
            let question = Question::read(input, &anyref)?;
            measured.times(times, || question.answer(&anyref.model))
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

/// Boxes, a row each of picture, left, top, right and bottom.
fn regions(input: &Fixture) -> Vec<RegionBox> {
    let rows: Vec<f32> = input.data("boxes").iter::<f32>().collect();
    let region = |row: &[f32]| RegionBox {
        batch: row[0] as usize,
        x0: row[1],
        y0: row[2],
        x1: row[3],
        y1: row[4],
    };
    rows.chunks_exact(5).map(region).collect()
}

/// Picture with the mask prompts of `reference.py`.
struct Prompts {
    picture: RgbImage,
    prompts: [(MaskPrompt, Multimask); 5],
}

impl Prompts {
    fn read(input: &Fixture) -> Result<Self, Box<dyn Error>> {
        let picture = input.data("picture");
        let [height, width] = [0, 1].map(|axis| picture.shape[axis] as u32);
        let bytes = picture.iter::<f32>().map(|value| value as u8).collect();
        let earlier: Vec<f32> = input.data("earlier").iter::<f32>().collect();
        let point = || MaskPrompt::default().with_point(320.0, 200.0, true);
        let region = [100.0, 80.5, 500.0, 390.0];
        let not = MaskPrompt::default().with_point(320.0, 200.0, false);
        let one = |prompt| (prompt, Multimask::Never);
        Ok(Self {
            picture: RgbImage::from_raw(width, height, bytes).ok_or("no picture")?,
            prompts: [
                (point(), Multimask::Always),
                one(point().with_point(90.5, 40.0, false)),
                one(MaskPrompt::default().with_region(region)),
                one(not.with_region(region)),
                one(point()
                    .with_point(400.0, 300.0, true)
                    .with_mask(LowResMask::new(earlier))),
            ],
        })
    }

    /// Logits and estimates of all prompts.
    fn answer(&self, sam: &SamModel<B>) -> Tensor<B, 1> {
        let picture = sam.picture(&self.picture).expect("a picture with pixels");
        let mut values = Vec::new();
        for (prompt, multimask) in &self.prompts {
            let answer = sam.predict(&picture, std::slice::from_ref(prompt), *multimask);
            let candidates = answer.expect("prompts that fit").remove(0).candidates;
            values.extend(candidates.iter().flat_map(|one| one.low_res.logits()));
            values.extend(candidates.iter().map(|one| one.estimate));
        }
        let count = values.len();
        Tensor::from_data(TensorData::new(values, [count]), &Default::default())
    }
}

/// Picture embedding of SAM 2, and the masks and estimates for the point of `reference.py`.
fn answer_point(sam: &SamModel<B>, pixels: Tensor<B, 4>) -> Tensor<B, 1> {
    let SamForm::Sam2(parts) = &sam.form else {
        panic!("a SAM 2");
    };
    let (device, side) = (pixels.device(), sam.image_size() as f32);
    let features = parts.image_encoder.forward(pixels);
    let point = Tensor::from_data([[[0.25 * side, 0.5 * side]]], &device);
    let prompt = PromptInput::default().with_points(point, Tensor::from_data([[1]], &device));
    let prompt = sam.prompt_encoder.forward_padded(prompt);
    let output = parts.mask_decoder.forward(Sam2MaskDecoderInput {
        image_embeddings: features.image_embeddings.clone(),
        high_resolution: parts.mask_decoder.high_resolution(features.high_resolution),
        image_pe: sam.prompt_encoder.image_pe(),
        sparse: prompt.sparse,
        dense: prompt.dense,
        multimask_output: true,
    });
    let MaskDecoderOutput {
        low_res_masks,
        iou_predictions,
    } = output.masks;
    let values = vec![
        features.image_embeddings.flatten(0, 3),
        low_res_masks.flatten(0, 3),
        iou_predictions.flatten(0, 1),
    ];
    Tensor::cat(values, 0)
}

/// Picture and question ids, as LISA's input.
struct Question {
    layout: Layout,
    clip: Tensor<B, 4>,
    sam: Tensor<B, 4>,
}

impl Question {
    fn read(input: &Fixture, anyref: &AnyRef<B>) -> anyref_core::Result<Self> {
        let ids = ["before", "after"].map(|name| input.data(name));
        let ids: Vec<u32> = ids
            .iter()
            .flat_map(|ids| ids.iter::<i64>())
            .map(|id| id as u32)
            .collect();
        let (special, device) = (anyref.special_tokens(), anyref.device());
        Ok(Self {
            layout: Layout::new(&ids, special, anyref.config.image_tokens(), &[])?,
            clip: input.tensor("clip", device),
            sam: input.tensor("sam", device),
        })
    }

    /// Logits of the first answer token, and the mask of its state.
    fn answer(&self, model: &AnyRefModel<B>) -> Tensor<B, 1> {
        let features = model.picture_features(self.clip.clone()).tokens;
        let (llm, layouts) = (&model.llm, [self.layout.clone()]);
        let bank = ReferenceBank::default();
        let input = splice(llm, &layouts, Some(features), &bank, 0, &self.clip.device());
        let hidden = llm.forward(LlamaInput::new(input.embeddings), None).hidden;
        let [_, length, width] = hidden.dims();
        let state = hidden.narrow(1, length - 1, 1);
        let logits = llm.logits(state.clone());
        let branch = model.mask_branch();
        let prompts = branch.text_hidden_fcs.forward(state.reshape([1, width]));
        let embedding = branch.image_encoder.forward(self.sam.clone());
        let masks = model.decode_masks(embedding, prompts).low_res_masks;
        let flat = |tensor: Tensor<B, 1>| tensor.cast(DType::F32);
        Tensor::cat(
            vec![flat(logits.flatten(0, 2)), flat(masks.flatten(0, 3))],
            0,
        )
    }
}

impl<B: Backend> Masks<B> {
    /// Mask of the embedding's own mean.
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

/// Loads a module from the published part.
fn load<M: Module<B>>(
    mut module: M,
    published: &Published,
    options: LoadOptions,
) -> anyref_weights::Result<M> {
    load_module(&mut module, &published.checkpoint, &options)?;
    Ok(module)
}
