//! Prompt encoder, two-way transformer and mask decoder compared with segment-anything and
//! transformers.

use anyref_decoder::import::{SEGMENT_ANYTHING, TRANSFORMERS};
use anyref_decoder::{
    MaskDecoder, MaskDecoderConfig, MaskDecoderInput, MaskDecoderOutput, PromptEmbeddings,
    PromptEncoder, PromptEncoderConfig, PromptInput,
};
use anyref_ops::testing::assert_close;
use anyref_weights::testing::Fixture;
use anyref_weights::{LoadOptions, Rename, load_module};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};

type TestBackend = burn_flex::Flex;

const TOLERANCE: f64 = 1e-4;

#[derive(Module, Debug)]
struct Sam<B: Backend> {
    prompt_encoder: PromptEncoder<B>,
    mask_decoder: MaskDecoder<B>,
}

fn load(name: &str, table: &[Rename], unused: &str) -> (Sam<TestBackend>, Fixture) {
    let device = Default::default();
    let fixture = Fixture::open(format!(
        "{}/tests/fixtures/{name}",
        env!("CARGO_MANIFEST_DIR")
    ));
    let mut sam = Sam {
        prompt_encoder: PromptEncoderConfig::new()
            .with_embed_dim(16)
            .with_image_embedding_size(6)
            .with_input_image_size(96)
            .with_mask_in_chans(8)
            .init(&device),
        mask_decoder: MaskDecoderConfig::new()
            .with_transformer_dim(16)
            .with_num_heads(2)
            .with_mlp_dim(24)
            .with_iou_head_hidden_dim(20)
            .init(&device),
    };
    let options = LoadOptions::default()
        .with_allow_unused(unused)
        .with_renames(table);
    load_module(&mut sam, fixture.checkpoint(), &options).unwrap_or_else(|e| panic!("{e}"));
    (sam, fixture)
}

fn segment_anything() -> (Sam<TestBackend>, Fixture) {
    load(
        "segment_anything.safetensors",
        SEGMENT_ANYTHING,
        r"^(coords|labels|boxes|masks|text|image_pe|pictures|wide|two_way|points|points_boxes|points_text)(\.|$)",
    )
}

fn prompt(fixture: &Fixture, case: &str) -> PromptInput<TestBackend> {
    let device = Default::default();
    let mut input = PromptInput::default();
    if ["points", "points_boxes", "masks", "points_text"].contains(&case) {
        let labels = fixture.int_tensor("labels", &device);
        input = input.with_points(fixture.tensor("coords", &device), labels);
    }
    if ["boxes", "points_boxes"].contains(&case) {
        input = input.with_boxes(fixture.tensor("boxes", &device));
    }
    if case == "masks" {
        input = input.with_masks(fixture.tensor("masks", &device));
    }
    if ["text", "points_text"].contains(&case) {
        input = input.with_embeddings(fixture.tensor("text", &device));
    }
    input
}

const CASES: [&str; 6] = [
    "points",
    "boxes",
    "points_boxes",
    "masks",
    "text",
    "points_text",
];

#[test]
fn prompts_are_those_of_segment_anything() {
    let (sam, fixture) = segment_anything();
    let device = Default::default();
    assert_close(
        &sam.prompt_encoder.image_pe(),
        &fixture.tensor("image_pe", &device),
        TOLERANCE,
    );
    for case in CASES {
        let prompt = sam.prompt_encoder.forward(prompt(&fixture, case));
        assert_close(
            &prompt.sparse,
            &fixture.tensor(&format!("{case}.sparse"), &device),
            TOLERANCE,
        );
        let dense: Tensor<TestBackend, 4> = fixture.tensor(&format!("{case}.dense"), &device);
        assert_close(&prompt.dense.expand(dense.dims()), &dense, TOLERANCE);
    }
}

fn decode(
    sam: &Sam<TestBackend>,
    pictures: Tensor<TestBackend, 4>,
    prompt: PromptEmbeddings<TestBackend>,
    multimask_output: bool,
) -> MaskDecoderOutput<TestBackend> {
    sam.mask_decoder.forward(MaskDecoderInput {
        image_embeddings: pictures,
        image_pe: sam.prompt_encoder.image_pe(),
        sparse: prompt.sparse,
        dense: prompt.dense,
        multimask_output,
    })
}

#[test]
fn masks_are_those_of_segment_anything() {
    let (sam, fixture) = segment_anything();
    let device = Default::default();
    let pictures: Tensor<TestBackend, 4> = fixture.tensor("pictures", &device);
    let check = |output: MaskDecoderOutput<TestBackend>, name: &str| {
        let masks = fixture.tensor(&format!("{name}.masks"), &device);
        assert_close(&output.low_res_masks, &masks, TOLERANCE);
        let iou = fixture.tensor(&format!("{name}.iou"), &device);
        assert_close(&output.iou_predictions, &iou, TOLERANCE);
    };
    for case in CASES {
        for (multi, kind) in [(false, "single"), (true, "multi")] {
            if multi && !["points", "masks", "text"].contains(&case) {
                continue;
            }
            let prompt = sam.prompt_encoder.forward(prompt(&fixture, case));
            let one = decode(
                &sam,
                pictures.clone().narrow(0, 0, 1),
                prompt.clone(),
                multi,
            );
            check(one, &format!("{case}.{kind}.one_picture"));
            if case == "text" {
                let many = decode(&sam, pictures.clone(), prompt, multi);
                check(many, &format!("{case}.{kind}.pictures"));
            }
        }
    }
}

#[test]
fn pictures_need_not_be_square() {
    let (sam, fixture) = segment_anything();
    let device = Default::default();
    let output = sam.mask_decoder.forward(MaskDecoderInput {
        image_embeddings: fixture.tensor("wide.picture", &device),
        image_pe: fixture.tensor("wide.pe", &device),
        sparse: fixture.tensor("text", &device),
        dense: Tensor::zeros([1, 16, 3, 5], &device),
        multimask_output: true,
    });
    assert_close(
        &output.low_res_masks,
        &fixture.tensor("wide.masks", &device),
        TOLERANCE,
    );
    assert_close(
        &output.iou_predictions,
        &fixture.tensor("wide.iou", &device),
        TOLERANCE,
    );
}

#[test]
fn two_way_transformer_is_that_of_segment_anything() {
    let (sam, fixture) = segment_anything();
    let device = Default::default();
    let cells = |name| {
        let map: Tensor<TestBackend, 4> = fixture.tensor(name, &device);
        map.flatten::<3>(2, 3).swap_dims(1, 2)
    };
    let tokens = fixture.tensor("two_way.tokens", &device);
    let (queries, keys) =
        sam.mask_decoder
            .transformer
            .forward(cells("two_way.cells"), cells("wide.pe"), tokens);
    assert_close(
        &queries,
        &fixture.tensor("two_way.queries", &device),
        TOLERANCE,
    );
    assert_close(&keys, &fixture.tensor("two_way.keys", &device), TOLERANCE);
}

#[test]
fn checkpoints_of_transformers_load() {
    let data = r"^(coords|labels|picture|masks|iou)$";
    let (sam, fixture) = load("transformers.safetensors", TRANSFORMERS, data);
    let device = Default::default();
    let input = PromptInput::default().with_points(
        fixture.tensor("coords", &device),
        fixture.int_tensor("labels", &device),
    );
    let prompt = sam.prompt_encoder.forward(input);
    let output = decode(&sam, fixture.tensor("picture", &device), prompt, true);
    assert_close(
        &output.low_res_masks,
        &fixture.tensor("masks", &device),
        TOLERANCE,
    );
    assert_close(
        &output.iou_predictions,
        &fixture.tensor("iou", &device),
        TOLERANCE,
    );
}
