//! Smallest complete model, scripted to give the answers that a test needs.

use std::collections::BTreeMap;

use anyref_audio::Waveform;
use anyref_core::{AnyRef, AnyRefConfig, AnyRefModel, SpecialTokens};
use anyref_llm::Tokenizer;
use anyref_llm::conversation::llava_v1;
use anyref_llm::train_tokenizer;
use anyref_ops::testing::fill;
use burn::backend::Flex;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use image::{Rgb, RgbImage};

pub type TestBackend = Flex;

/// Answer with one object.
pub const ONE: &str = "the red circle<obj>.";
/// Answer without objects.
pub const NONE: &str = "there is no dog in this image.";

/// Tokenizer without the tokens that AnyRef adds.
fn plain_tokenizer() -> Tokenizer {
    let texts = [
        llava_v1()
            .ask("Can you segment the red circle in this image?")
            .answer("")
            .prompt(),
        "the red circle, there is no dog in this image.".to_owned(),
        "Can you provide a description of the region in this image?".to_owned(),
        "Can you segment object with the following reference and audio in this image?".to_owned(),
    ];
    train_tokenizer(texts.iter().cycle().take(12), 560).unwrap()
}

pub fn tokenizer() -> Tokenizer {
    let mut tokenizer = plain_tokenizer();
    tokenizer.add_anyref_tokens().unwrap();
    tokenizer
}

/// Tokenizer with the mask token named as by the authors.
pub fn authors_tokenizer() -> Tokenizer {
    let mut tokenizer = plain_tokenizer();
    tokenizer.add_tokens(&["[SEG]"]).unwrap();
    tokenizer
        .add_special_tokens(&SpecialTokens::ALL[1..])
        .unwrap();
    tokenizer
}

pub fn config(tokenizer: &Tokenizer) -> AnyRefConfig {
    let mut config = AnyRefConfig::tiny();
    config.llm.vocab_size = tokenizer.vocab_size();
    config
}

/// Creates a model with seeded weights: gains of norms around 1, token embeddings large enough to
/// identify a state by its token, IoU estimates around 0.5.
pub fn model<B: Backend>(config: &AnyRefConfig, seed: u64) -> AnyRefModel<B> {
    struct Shift(Vec<String>);

    impl<B: Backend> ModuleMapper<B> for Shift {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.0.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.0.pop();
        }

        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            let path = self.0.join(".");
            let (scale, shift) = if path.ends_with("embed_tokens.weight") {
                (8.0, 0.0)
            } else if path.ends_with("iou_prediction_head.layers.2.weight") {
                (0.2, 0.0)
            } else if path.ends_with("iou_prediction_head.layers.2.bias") {
                (0.0, 0.5)
            } else if D == 1 && (path.ends_with("gamma") || path.ends_with("weight")) {
                (1.0, 1.0)
            } else {
                return param;
            };
            // Detached, so that the gradient belongs to the parameter and not to the tensor it was
            // filled with.
            param.map(|x| {
                let tracked = x.is_require_grad();
                (x * scale + shift).detach().set_require_grad(tracked)
            })
        }
    }

    fill(config.init::<B>(&Default::default()), seed, 0.2).map(&mut Shift(Vec::new()))
}

pub fn silent<B: Backend>(seed: u64) -> AnyRef<B> {
    let tokenizer = tokenizer();
    let config = config(&tokenizer);
    let model = model(&config, seed);
    AnyRef::new(config, model, tokenizer, Default::default()).unwrap()
}

/// Model that answers `text` to everything.
pub fn saying<B: Backend>(text: &str, seed: u64) -> AnyRef<B> {
    let mut anyref = silent(seed);
    let chain = spoken(&anyref.tokenizer, text);
    script(&mut anyref, &chain);
    anyref
}

/// Model that answers `the<obj>, the<obj>, ...` with this many objects, until it is cut off.
pub fn pointing<B: Backend>(objects: usize, seed: u64) -> AnyRef<B> {
    let mut anyref = silent(seed);
    let mut chain = spoken(&anyref.tokenizer, "the<obj>, the");
    chain.pop();
    assert_eq!(chain.len(), 5, "`the` is a token");
    script(&mut anyref, &chain);
    anyref.generation.max_new_tokens = 3 * objects;
    anyref
}

/// Last token of a prompt, followed by the tokens of an answer.
pub fn spoken(tokenizer: &Tokenizer, answer: &str) -> Vec<u32> {
    let asked = llava_v1().ask("the");
    let open = tokenizer
        .encode(&asked.clone().open().prompt(), true)
        .unwrap();
    let whole = tokenizer
        .encode(&asked.answer(answer).prompt(), true)
        .unwrap();
    assert_eq!(open, whole[..open.len()]);
    whole[open.len() - 1..].to_vec()
}

/// Makes each token of `chain` be followed by the next. The residual stream of a position is
/// dominated by its token's embedding. An output head whose column for the next token is the
/// direction of the present one therefore generates the chain, regardless of the layers' output.
pub fn script<B: Backend>(anyref: &mut AnyRef<B>, chain: &[u32]) {
    let mut next = BTreeMap::new();
    for pair in chain.windows(2) {
        let before = next.insert(pair[0], pair[1]);
        assert!(
            before.is_none_or(|token| token == pair[1]),
            "a token with two followers"
        );
    }
    let llm = &mut anyref.model.llm;
    let gain: Vec<f32> = llm
        .model
        .norm
        .weight
        .val()
        .into_data()
        .iter::<f32>()
        .collect();
    let table = llm.model.embed_tokens.weight.val();
    let [vocab, width] = table.dims();
    let table: Vec<f32> = table.into_data().iter::<f32>().collect();
    let mut head = vec![0.0; width * vocab];
    for (token, next) in next {
        let row = &table[token as usize * width..][..width];
        let direction: Vec<f32> = row.iter().zip(&gain).map(|(x, gain)| x * gain).collect();
        let length = direction.iter().map(|x| x * x).sum::<f32>().sqrt();
        for (dim, x) in direction.iter().enumerate() {
            head[dim * vocab + next as usize] += 10.0 * x / length;
        }
    }
    let head = Tensor::from_data(TensorData::new(head, [width, vocab]), &Default::default());
    llm.lm_head.as_mut().unwrap().weight = Param::from_tensor(head).into();
}

/// Picture with some structure.
pub fn image(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let inside = (10..30).contains(&x) && (5..25).contains(&y);
        if inside {
            Rgb([220, 30, 40])
        } else {
            Rgb([(3 * x) as u8, (5 * y) as u8, (x * y) as u8])
        }
    })
}

pub fn tone(pitch: f32) -> Waveform {
    let sample = |i: usize| 0.4 * (i as f32 * pitch * std::f32::consts::TAU / 16_000.0).sin();
    Waveform::new((0..16_000).map(sample).collect(), 16_000)
}
