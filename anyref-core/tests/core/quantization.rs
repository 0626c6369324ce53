//! Language models with weights in blocks: rounded while reading, written to folders, kept from
//! GGUF files.

use std::path::Path;

use anyref_core::quantization::{BlockType, Quantization};
use anyref_core::{
    AnyRef, Assembly, EncoderBlocks, EncoderFormat, MaskImageEncoder, MemoryEstimate, ModelOptions,
};
use anyref_llm::{LlamaInput, load_gguf};
use anyref_ops::nn::LinearWeight;
use anyref_ops::testing::{max_abs_error, random};
use anyref_vision::sam::SamImageEncoder;
use anyref_weights::{Checkpoint, WeightType};
use burn::tensor::{DType, Int, Tensor};

use crate::common::TestBackend;
use crate::parts::{assembly, language, load, published};

fn nano() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/nano")
}

fn logits(anyref: &AnyRef<TestBackend>) -> Tensor<TestBackend, 3> {
    let ids = Tensor::<TestBackend, 2, Int>::from_data([[5, 9, 2, 40, 7]], &Default::default());
    let llm = &anyref.model.llm;
    llm.logits(llm.forward(LlamaInput::new(llm.embed(ids)), None).hidden)
}

fn formats(checkpoint: &Checkpoint, part: &str) -> Vec<Option<BlockType>> {
    let mut formats: Vec<_> = checkpoint
        .tensors()
        .filter(|t| t.name.contains(part))
        .map(|t| t.block_type())
        .collect();
    formats.dedup();
    formats
}

fn projections(anyref: &AnyRef<TestBackend>) -> usize {
    7 * anyref.model.llm.model.layers.len()
}

#[test]
fn a_model_that_is_rounded_as_it_is_read_is_saved_and_read_in_blocks() {
    let device = Default::default();
    let options = ModelOptions::new(WeightType::F32).with_quantize(Some(BlockType::Q8_0));
    let rounded = AnyRef::<TestBackend>::load_with(&nano(), options.clone(), &device).unwrap();
    let tensors = rounded.model.llm.block_tensors("");
    assert_eq!(tensors.len(), projections(&rounded));
    let exact = AnyRef::<TestBackend>::load(&nano(), &device).unwrap();
    let difference = max_abs_error(&logits(&rounded), &logits(&exact));
    assert!(difference > 0.0 && difference < 0.5, "{difference}");

    let folder = tempfile::tempdir().unwrap();
    rounded.save(folder.path(), DType::F32).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(
        formats(&checkpoint, "llm.model.layers.0.mlp.down_proj"),
        [Some(BlockType::Q8_0)]
    );
    for part in [
        "embed_tokens",
        "lm_head",
        "norm",
        "text_hidden_fcs",
        "mask_decoder",
    ] {
        assert!(
            formats(&checkpoint, part).iter().all(Option::is_none),
            "{part}"
        );
    }
    let again = load(folder.path());
    assert_eq!(again.model.llm.block_tensors("").len(), tensors.len());
    let blocks = |anyref: &AnyRef<TestBackend>| {
        let layer = &anyref.model.llm.model.layers[1];
        let blocks = layer.mlp.down_proj.base_layer.weight.to_blocks();
        blocks.unwrap().bytes().to_vec()
    };
    assert_eq!(blocks(&again), blocks(&rounded));
    // The file now stores the head in f32, which is summed in another order.
    assert!(max_abs_error(&logits(&again), &logits(&rounded)) < 1e-4);

    // The estimate has fewer bytes, for a file in floats and for one in blocks.
    let reckon = |path: &Path, options: ModelOptions| {
        let checkpoint = Checkpoint::open(path).unwrap();
        let model = exact.config.init::<TestBackend>(&device);
        MemoryEstimate::new(&exact.config, &model, &checkpoint, options, &device)
            .unwrap()
            .weights
            .total()
    };
    let plain = ModelOptions::new(WeightType::F32);
    let (floats, blocks) = (reckon(&nano(), plain.clone()), reckon(&nano(), options));
    assert!(blocks < floats, "{blocks} {floats}");
    assert_eq!(reckon(folder.path(), plain), blocks);
}

/// Features of the picture encoders are those of floats but for rounding, and what is saved is what
/// was rounded.
#[test]
fn encoders_are_rounded_saved_and_read_in_blocks() {
    for form in [BlockType::Q8_0.into(), EncoderFormat::Int8] {
        encoders_are_rounded_saved_and_read(form);
    }
}

fn encoders_are_rounded_saved_and_read(form: EncoderFormat) {
    let device = Default::default();
    let options = ModelOptions::new(WeightType::F32).with_quantize_vision(Some(form));
    let rounded = AnyRef::<TestBackend>::load_with(&nano(), options.clone(), &device).unwrap();
    let exact = AnyRef::<TestBackend>::load(&nano(), &device).unwrap();
    fn sam(anyref: &AnyRef<TestBackend>) -> &SamImageEncoder<TestBackend> {
        match anyref.model.image_encoder.as_ref().unwrap() {
            MaskImageEncoder::Sam(sam) => sam,
            MaskImageEncoder::Sam2(_) => panic!("nano has SAM"),
        }
    }
    let layers = |anyref: &AnyRef<TestBackend>| {
        let model = &anyref.model;
        6 * model.vision_tower.clip().encoder.layers.len() + 4 * sam(anyref).layers.len()
    };
    let tensors = rounded.model.encoder_block_tensors();
    assert_eq!(tensors.len(), layers(&exact));
    assert!(rounded.model.llm.block_tensors("").is_empty());
    let size = exact.config.vision_tower.image_size();
    let pixels = random::<TestBackend, 4>([1, 3, size, size], 3, &device);
    let clip = |anyref: &AnyRef<TestBackend>| {
        let features = anyref.model.picture_features(pixels.clone());
        features.tokens
    };
    let size = exact.config.image_encoder.as_ref().unwrap().image_size();
    let pixels = random::<TestBackend, 4>([1, 3, size, size], 4, &device);
    let embedding = |anyref| sam(anyref).forward(pixels.clone());
    let root_mean_square = |x: Tensor<TestBackend, 1>| (x.clone() * x).mean().sqrt().into_scalar();
    for (found, expected) in [
        (clip(&rounded).flatten(0, 2), clip(&exact).flatten(0, 2)),
        (
            embedding(&rounded).flatten(0, 3),
            embedding(&exact).flatten(0, 3),
        ),
    ] {
        let error = root_mean_square(found - expected.clone()) / root_mean_square(expected);
        println!("{form}: relative error {error}");
        assert!(error > 0.0 && error < 0.05, "{error}");
    }

    let folder = tempfile::tempdir().unwrap();
    rounded.save(folder.path(), DType::F32).unwrap();
    let again = load(folder.path());
    let bytes = |anyref: &AnyRef<TestBackend>| {
        let layer = &anyref.model.vision_tower.clip().encoder.layers[0];
        layer.mlp.fc1.weight.to_blocks().unwrap().bytes().to_vec()
    };
    assert_eq!(bytes(&again), bytes(&rounded));
    assert_eq!(again.model.encoder_block_tensors().len(), tensors.len());
    let checkpoint = Checkpoint::open(nano()).unwrap();
    let model = exact.config.init::<TestBackend>(&device);
    let reckon = |options| {
        MemoryEstimate::new(&exact.config, &model, &checkpoint, options, &device).unwrap()
    };
    let plain = reckon(ModelOptions::new(WeightType::F32));
    assert!(reckon(options).weights.total() < plain.weights.total());
}

#[test]
fn rows_that_do_not_fit_fall_back() {
    let device = Default::default();
    let options = ModelOptions::new(WeightType::F32).with_quantize(Some(BlockType::Q4K));
    let rounded = AnyRef::<TestBackend>::load_with(&nano(), options, &device).unwrap();
    // The width is 192, not a multiple of 256.
    let gate = &rounded.model.llm.model.layers[0]
        .mlp
        .gate_proj
        .base_layer
        .weight;
    assert_eq!(gate.block_type(), Some(BlockType::Q8_0));
}

fn gguf() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-llm/tests/fixtures/gguf/llama.gguf")
}

#[test]
fn assembled_weights_are_in_blocks_by_defaults_and_rules() {
    let out = tempfile::tempdir().unwrap();
    let rules = Quantization::new(BlockType::Q8_0);
    let rules = rules.with_rule(r"layers\.0\.self_attn=q4_0").unwrap();
    let rules = rules.with_rule("lm_head=q8_0").unwrap();
    let rules = rules.with_rule(r"gate_proj=float").unwrap();
    let parts = Assembly {
        clip: Some(published("clip")),
        quantization: Some(rules),
        ..assembly(&gguf())
    };
    let assembled = parts.write::<TestBackend>(out.path()).unwrap();
    assert!(assembled.fell_back.is_empty(), "{:?}", assembled.fell_back);
    assert_eq!(assembled.in_blocks, 7);
    let checkpoint = Checkpoint::open(out.path()).unwrap();
    let expected = [
        ("llm.model.layers.0.self_attn.q_proj", Some(BlockType::Q4_0)),
        ("llm.model.layers.0.mlp.up_proj", Some(BlockType::Q8_0)),
        ("llm.model.layers.0.mlp.gate_proj", None),
        ("llm.lm_head", Some(BlockType::Q8_0)),
        ("llm.model.embed_tokens", None),
    ];
    for (part, format) in expected {
        assert_eq!(formats(&checkpoint, part), [format], "{part}");
    }
    // Everything written is read again, strictly.
    let model = load(out.path());
    assert_eq!(model.model.llm.block_tensors("").len(), 7);
}

/// Assembled blocks are those that a folder of floats is rounded to when it is read.
#[test]
fn assembled_encoders_are_those_that_are_rounded_as_they_are_read() {
    let (llm, out) = (language("llava_authors"), tempfile::tempdir().unwrap());
    let encoders = EncoderBlocks {
        vision: Some(BlockType::Q8_0.into()),
        audio: Some(BlockType::Q8_0.into()),
    };
    let parts = |encoders| Assembly {
        encoders,
        ..assembly(llm.path())
    };
    let (rounded, floats) = (out.path().join("rounded"), out.path().join("floats"));
    let assembled = parts(encoders).write::<TestBackend>(&rounded).unwrap();
    parts(EncoderBlocks::default())
        .write::<TestBackend>(&floats)
        .unwrap();
    let checkpoint = Checkpoint::open(&rounded).unwrap();
    // Rows of 32 values are whole blocks, those of 16 and 48 are not.
    let expected = [
        (
            "vision_tower.encoder.layers.0.mlp.fc1.weight",
            Some(BlockType::Q8_0),
        ),
        ("vision_tower.encoder.layers.0.mlp.fc2.weight", None),
        (
            "audio_encoder.trunk.blocks.0.mlp.fc2.weight",
            Some(BlockType::Q8_0),
        ),
        ("audio_encoder.trunk.blocks.0.attn.out_proj.weight", None),
        ("audio_encoder.trunk.blocks.0.attn.in_proj_weight", None),
    ];
    for (name, format) in expected {
        assert_eq!(formats(&checkpoint, name), [format], "{name}");
        let fell_back = assembled.fell_back.iter().any(|other| other == name);
        assert_eq!(
            fell_back,
            format.is_none() && !name.ends_with("in_proj_weight")
        );
    }
    let options = ModelOptions::new(WeightType::F32)
        .with_quantize_vision(encoders.vision)
        .with_quantize_audio(encoders.audio);
    let read = AnyRef::<TestBackend>::load_with(&floats, options, &Default::default()).unwrap();
    let tensors = |anyref: &AnyRef<TestBackend>| {
        let tensors = anyref.model.encoder_block_tensors();
        let checkpoint = Checkpoint::of_tensors("blocks", tensors).unwrap();
        let blocks = checkpoint.tensors().map(|entry| {
            let blocks = entry.read_blocks().unwrap().unwrap();
            (entry.name.clone(), blocks.into_bytes())
        });
        blocks.collect::<Vec<_>>()
    };
    let found = tensors(&load(&rounded));
    assert_eq!(found.len(), assembled.in_blocks);
    assert!(found == tensors(&read));
    let deaf = Assembly {
        imagebind: None,
        ..parts(encoders)
    };
    let error = deaf.write::<TestBackend>(&out.path().join("deaf"));
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("ImageBind") && !error.contains('\n'),
        "{error}"
    );
}

/// All matrices of ImageBind's layers are integers, the joint projections too, and embeddings are
/// those of floats but for rounding. A folder holds the values as blocks.
#[test]
fn a_sound_encoder_of_integers_is_saved_and_read() {
    let device = Default::default();
    let options = ModelOptions::new(WeightType::F32);
    let options = options.with_quantize_audio(Some(EncoderFormat::Int8));
    let rounded = AnyRef::<TestBackend>::load_with(&nano(), options.clone(), &device).unwrap();
    let exact = AnyRef::<TestBackend>::load(&nano(), &device).unwrap();
    let config = &exact.config.audio.as_ref().unwrap().encoder;
    let sizes = [1, 3, 1, config.num_mel_bins, config.target_length];
    let clips = random::<TestBackend, 5>(sizes, 3, &device);
    let embeddings = |anyref: &AnyRef<TestBackend>| {
        let encoder = anyref.model.audio_encoder.as_ref().unwrap();
        encoder.forward(clips.clone()).flatten::<1>(0, 2)
    };
    let size = |x: Tensor<TestBackend, 1>| (x.clone() * x).mean().sqrt().into_scalar();
    let error = |found: &AnyRef<TestBackend>, expected: &AnyRef<TestBackend>| {
        let (found, expected) = (embeddings(found), embeddings(expected));
        size(found - expected.clone()) / size(expected)
    };
    let apart = error(&rounded, &exact);
    println!("relative error {apart}");
    assert!(apart > 0.0 && apart < 0.05, "{apart}");
    let blocks = &rounded.model.audio_encoder.as_ref().unwrap().trunk.blocks;
    assert!(blocks.iter().all(|block| {
        let weights = [&block.attn.out_proj, &block.mlp.fc1, &block.mlp.fc2];
        let weights = weights.map(|layer| &layer.weight).into_iter();
        let mut weights = weights.chain(block.attn.in_proj_weight.rounded());
        weights.clone().count() == 4
            && weights.all(|weight| matches!(weight, LinearWeight::Int8(_)))
    }));
    let tensors = rounded.model.encoder_block_tensors();
    assert_eq!(tensors.len(), 4 * blocks.len());

    let folder = tempfile::tempdir().unwrap();
    rounded.save(folder.path(), DType::F32).unwrap();
    let again = load(folder.path());
    let weight = |anyref: &AnyRef<TestBackend>| {
        let block = &anyref.model.audio_encoder.as_ref().unwrap().trunk.blocks[0];
        block.attn.in_proj_weight.val().into_data()
    };
    assert_eq!(weight(&again), weight(&rounded));
    // Rounded once more, rows so small that half precision has fewer bits for their scale change.
    let again = AnyRef::<TestBackend>::load_with(folder.path(), options, &device).unwrap();
    let apart = error(&again, &rounded);
    assert!(apart < 1e-6, "{apart}");
}

/// Integers are made when a model is loaded, and not written by `assemble`.
#[test]
fn encoders_of_integers_are_not_assembled() {
    let (llm, out) = (language("llava_authors"), tempfile::tempdir().unwrap());
    let parts = Assembly {
        encoders: EncoderBlocks {
            vision: Some(EncoderFormat::Int8),
            audio: None,
        },
        ..assembly(llm.path())
    };
    let error = parts.write::<TestBackend>(&out.path().join("folder"));
    let error = error.err().unwrap().to_string();
    assert!(error.contains("int8") && !error.contains('\n'), "{error}");
}

#[test]
fn an_adapter_is_folded_in_where_no_blocks_fit() {
    let (llm, out) = (language("llava_authors"), tempfile::tempdir().unwrap());
    let parts = Assembly {
        adapter: Some(published("adapter")),
        quantization: Some(Quantization::new(BlockType::Q4_0)),
        ..assembly(llm.path())
    };
    // The rows have 16 and 24 values.
    let assembled = parts.write::<TestBackend>(out.path()).unwrap();
    assert_eq!((assembled.merged, assembled.in_blocks), (4, 0));
    assert_eq!(assembled.fell_back.len(), 14);
    load(out.path());
}

#[test]
fn blocks_of_a_gguf_file_are_kept() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-llm/tests/fixtures/gguf/llama.gguf");
    let out = tempfile::tempdir().unwrap();
    let parts = Assembly {
        clip: Some(published("clip")),
        ..assembly(&path)
    };
    let assembled = parts.write::<TestBackend>(out.path()).unwrap();
    let file = Checkpoint::open(&path).unwrap();
    let matrices = |t: &&anyref_weights::TensorEntry| {
        t.block_type().is_some() && t.name.starts_with("blk.") && t.shape.len() == 2
    };
    let count = file.tensors().filter(matrices).count();
    assert!(count > 0);
    // The tables were extended by new tokens.
    assert_eq!(assembled.in_blocks, count);
    let model = load(out.path());
    assert_eq!(model.model.llm.block_tensors("").len(), count);
    let vocabulary = file.require("token_embd.weight").unwrap().shape[0];
    let found = logits(&model).narrow(2, 0, vocabulary);
    let whole = load_gguf::<TestBackend>(&path, &Default::default()).unwrap();
    let ids = Tensor::<TestBackend, 2, Int>::from_data([[5, 9, 2, 40, 7]], &Default::default());
    let expected = whole.logits(
        whole
            .forward(LlamaInput::new(whole.embed(ids)), None)
            .hidden,
    );
    // The other head is in blocks, this one in floats.
    let difference = max_abs_error(&found, &expected);
    assert!(difference < 0.05, "{difference}");
}
