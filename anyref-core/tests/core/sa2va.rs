//! Sa2VA's parts from a folder in its authors' layout, put together by hand, beside transformers'
//! InternVL and Qwen 2 (`fixtures/export_sa2va.py`).

use std::fs;
use std::ops::ControlFlow;

use anyref_core::official::{Kind, Published, Sa2vaParts, compare, sa2va_parts};
use anyref_core::{Assembly, Companions};
use anyref_decoder::ObjectHead;
use anyref_llm::{GenerationConfig, GenerationInput, Llama, LlamaInput, Tokenizer, generate};
use anyref_ops::testing::{assert_close, max_abs_difference};
use anyref_vision::internvit::{InternVisionModel, InternVlProjector};
use anyref_vision::preprocess::{PixelValues, TilePreprocessor, open_image};
use anyref_weights::load_module;
use anyref_weights::testing::Fixture;
use burn::tensor::{Int, Tensor, TensorData};
use tempfile::TempDir;

use crate::common::TestBackend;
use crate::parts::{copied, published};

/// The parts of the folder, loaded.
struct Parts {
    config: Sa2vaParts,
    tower: InternVisionModel<TestBackend>,
    projector: InternVlProjector<TestBackend>,
    llm: Llama<TestBackend>,
    head: ObjectHead<TestBackend>,
    tokenizer: Tokenizer,
}

fn load() -> Parts {
    let (device, folder) = (Default::default(), published("sa2va"));
    let published = Published::open(&folder).unwrap();
    assert_eq!(published.kind, Some(Kind::Sa2va));
    let config = sa2va_parts(&published).unwrap();
    let (options, checkpoint) = (config.options(), &published.checkpoint);
    let mut tower = config.tower.init(&device);
    load_module(&mut tower, checkpoint, &options.tower).unwrap();
    let mut projector = config.projector.init(&device).unwrap();
    load_module(&mut projector, checkpoint, &options.projector).unwrap();
    let mut llm = config.llm.init(&device);
    load_module(&mut llm, checkpoint, &options.llm).unwrap();
    let mut head = config.head.init(&device);
    load_module(&mut head, checkpoint, &options.head).unwrap();
    Parts {
        config,
        tower,
        projector,
        llm,
        head,
        tokenizer: Tokenizer::from_folder(&folder).unwrap(),
    }
}

impl Parts {
    /// The question's text with the picture's tokens, as Sa2VA's code writes it.
    fn prompt(&self, picture: usize) -> String {
        let picture = format!("<img>{}</img>", "<IMG_CONTEXT>".repeat(picture));
        let question = format!("{picture}Please segment the red dog.");
        self.config.template.clone().ask(question).open().prompt()
    }

    /// Embeddings of tokens, those of the picture in their places.
    fn embed(&self, ids: &[u32], picture: Tensor<TestBackend, 3>) -> Tensor<TestBackend, 3> {
        let context = self.tokenizer.token_id("<IMG_CONTEXT>").unwrap();
        let places = picture.dims()[1];
        let first = ids.iter().position(|&id| id == context).unwrap();
        assert!(ids[first..first + places].iter().all(|&id| id == context));
        let embed = |ids: &[u32]| {
            let data = TensorData::new(ids.to_vec(), [1, ids.len()]);
            let ids = Tensor::<TestBackend, 2, Int>::from_data(data, &Default::default());
            self.llm.embed(ids)
        };
        let (before, after) = (embed(&ids[..first]), embed(&ids[first + places..]));
        Tensor::cat(vec![before, picture, after], 1)
    }
}

#[test]
fn states_answers_and_prompts_equal_the_composed_reference() {
    let device = Default::default();
    let parts = load();
    let fixture = Fixture::open(published("expected_sa2va.safetensors"));

    let side = parts.config.tower.image_size;
    let tiles = TilePreprocessor::new(side, parts.config.max_tiles).unwrap();
    let picture = open_image(published("sa2va").join("picture.png")).unwrap();
    let pixels = PixelValues::batch::<TestBackend>(&tiles.process(&picture), &device);
    let expected = fixture.data("pixels");
    assert!(max_abs_difference(&pixels.to_data(), &expected) <= 1e-5);
    let pixels: Tensor<TestBackend, 4> = fixture.tensor("pixels", &device);

    let features = parts.tower.features(pixels, parts.config.select_layer);
    let tokens = parts.projector.forward(features);
    let [count, each, width] = tokens.dims();
    assert_eq!((count, each), (7, parts.config.projector.tokens().unwrap()));
    let tokens = tokens.reshape([1, count * each, width]);
    assert_close(&tokens, &fixture.tensor("tokens", &device), 1e-4);

    let prompt = parts.prompt(count * each);
    let asked = parts.tokenizer.encode(&prompt, false).unwrap();
    let whole = parts
        .tokenizer
        .encode(&format!("{prompt}Sure, [SEG].<|im_end|>"), false)
        .unwrap();
    let expected: Vec<u32> = fixture.data("ids").iter::<u32>().collect();
    assert_eq!(whole, expected);
    let input = LlamaInput::new(parts.embed(&whole, tokens.clone()));
    let states = parts.llm.forward(input, None).hidden;
    assert_close(&states, &fixture.tensor("states", &device), 1e-4);

    // The state of `[SEG]` itself, and the one before that LISA reads.
    let seg = parts.tokenizer.token_id("[SEG]").unwrap();
    let at = whole.iter().position(|&id| id == seg).unwrap();
    for (name, place) in [("seg", at), ("before", at - 1)] {
        let state = states.clone().narrow(1, place, 1).reshape([1, width]);
        let prompt = parts.head.forward(state);
        assert_close(&prompt, &fixture.tensor(name, &device), 1e-4);
    }

    let input = GenerationInput::new(parts.embed(&asked, tokens));
    let config = GenerationConfig::greedy(8);
    let output = generate(&parts.llm, input, &config, |_, _| ControlFlow::Continue(())).unwrap();
    let expected: Vec<u32> = fixture.data("greedy").iter::<u32>().collect();
    assert_eq!(output.tokens.concat(), expected);
}

#[test]
fn all_parts_are_found_in_the_folder() {
    let folder = Published::open(&published("sa2va")).unwrap();
    let reports = compare::<TestBackend>(&folder, None, &Default::default()).unwrap();
    let parts: Vec<_> = reports.iter().map(|(part, _)| *part).collect();
    assert_eq!(
        parts,
        ["language model", "InternViT", "projector", "object head"]
    );
    for (part, report) in reports {
        assert!(report.is_complete(), "{part}: {report}");
    }
}

/// The folder with a change in its config.
fn changed(from: &str, to: &str) -> TempDir {
    let folder = copied("sa2va");
    let path = folder.path().join("config.json");
    let config = fs::read_to_string(&path).unwrap();
    assert!(config.contains(from), "{from}");
    fs::write(&path, config.replace(from, to)).unwrap();
    folder
}

#[test]
fn the_whole_folder_is_no_model_yet() {
    let folder = Published::open(&published("sa2va")).unwrap();
    let refused = Assembly::of_published(&folder, &Companions::default());
    let line = refused.unwrap_err().to_string();
    assert!(
        line.contains("Sa2VA") && line.contains("answers nothing yet"),
        "{line}"
    );
}

#[test]
fn other_forms_and_absurd_configs_are_refused_by_one_line() {
    for (from, to, words) in [
        (
            "Qwen2ForCausalLM",
            "InternLM2ForCausalLM",
            "InternLM2ForCausalLM",
        ),
        (
            "\"InternVisionModel\"",
            "\"Qwen2_5_VisionTransformerPretrainedModel\"",
            "Qwen2_5_Vision",
        ),
        ("\"sa2va_chat\"", "\"qwen2_5_vl\"", "qwen2_5_vl"),
        (
            "\"downsample_ratio\": 0.5",
            "\"downsample_ratio\": 0.25",
            "downsample_ratio",
        ),
        ("\"ps_version\": \"v2\"", "\"ps_version\": \"v9\"", "v9"),
        (
            "\"template\": \"qwen_chat\"",
            "\"template\": \"vicuna\"",
            "vicuna",
        ),
        ("\"select_layer\": -1", "\"select_layer\": -9", "-9"),
        (
            "\"qk_normalization\": false",
            "\"qk_normalization\": true",
            "qk_normalization",
        ),
        (
            "\"use_sliding_window\": false",
            "\"use_sliding_window\": true",
            "use_sliding_window",
        ),
    ] {
        let folder = changed(from, to);
        let error = sa2va_parts(&Published::open(folder.path()).unwrap()).unwrap_err();
        let line = error.to_string();
        assert!(line.contains(words) && !line.contains('\n'), "{line}");
    }
}
