//! Properties of prompt encoder and mask decoder that need no checkpoint.

use anyref_decoder::{
    MaskDecoder, MaskDecoderConfig, MaskDecoderInput, MaskDecoderOutput, ObjectHeadConfig,
    OutputUpscaling, OutputUpscalingConfig, PromptEncoder, PromptEncoderConfig, PromptInput,
};
use anyref_ops as ops;
use anyref_ops::testing::{assert_close, fill, max_abs_error, random};
use burn::backend::Autodiff;
use burn::tensor::{Tensor, backend::Backend};

type TestBackend = burn_flex::Flex;
type TestAutodiff = Autodiff<TestBackend>;

const DIM: usize = 16;
const GRID: usize = 4;

fn model<B: Backend>(device: &B::Device) -> (PromptEncoder<B>, MaskDecoder<B>) {
    let prompts = PromptEncoderConfig::nano(DIM, GRID).init(device);
    let decoder = MaskDecoderConfig::nano(DIM).init(device);
    (fill(prompts, 1, 0.5), fill(decoder, 2, 0.5))
}

fn decode<B: Backend>(
    (prompts, decoder): &(PromptEncoder<B>, MaskDecoder<B>),
    pictures: Tensor<B, 4>,
    embeddings: Tensor<B, 3>,
) -> MaskDecoderOutput<B> {
    let prompt = prompts.forward(PromptInput::default().with_embeddings(embeddings));
    decoder.forward(MaskDecoderInput {
        image_embeddings: pictures,
        image_pe: prompts.image_pe(),
        sparse: prompt.sparse,
        dense: prompt.dense,
        multimask_output: true,
    })
}

#[test]
fn one_picture_for_all_prompts_is_that_picture_repeated() {
    let device = Default::default();
    let model = model::<TestAutodiff>(&device);
    let picture = random::<TestAutodiff, 4>([1, DIM, GRID, GRID], 3, &device).require_grad();
    let prompts = random([5, 2, DIM], 4, &device);
    let target = random([5, 3, 4 * GRID, 4 * GRID], 5, &device);
    let run = |pictures: Tensor<TestAutodiff, 4>| {
        let output = decode(&model, pictures, prompts.clone());
        let loss = (output.low_res_masks.clone() * target.clone()).sum();
        let grads = loss.backward();
        let weight = model.1.transformer.layers[0]
            .cross_attn_image_to_token
            .q_proj
            .weight
            .val();
        let weight = weight.grad(&grads).expect("a gradient for the weight");
        (
            output,
            picture.grad(&grads).expect("a gradient for the picture"),
            weight,
        )
    };
    let (shared, shared_picture, shared_weight) = run(picture.clone());
    let (repeated, repeated_picture, repeated_weight) = run(picture.clone().repeat_dim(0, 5));
    assert_close(&shared.low_res_masks, &repeated.low_res_masks, 1e-5);
    assert_close(&shared.iou_predictions, &repeated.iou_predictions, 1e-5);
    let scale = repeated_picture.clone().abs().max().into_scalar() as f64;
    assert_close(&shared_picture, &repeated_picture, 1e-5 * scale);
    let scale = repeated_weight.clone().abs().max().into_scalar() as f64;
    assert_close(&shared_weight, &repeated_weight, 1e-5 * scale);
}

#[test]
fn prompts_of_a_batch_do_not_see_one_another() {
    let device = Default::default();
    let model = model::<TestBackend>(&device);
    let pictures = random([3, DIM, GRID, GRID], 3, &device);
    let prompts = random::<TestBackend, 3>([3, 1, DIM], 4, &device);
    let all = decode(&model, pictures.clone(), prompts.clone());
    for row in 0..3 {
        let one = decode(
            &model,
            pictures.clone().narrow(0, row, 1),
            prompts.clone().narrow(0, row, 1),
        );
        assert_close(
            &one.low_res_masks,
            &all.low_res_masks.clone().narrow(0, row, 1),
            1e-5,
        );
        assert_close(
            &one.iou_predictions,
            &all.iou_predictions.clone().narrow(0, row, 1),
            1e-5,
        );
    }
    let first = all.low_res_masks.clone().narrow(0, 0, 1);
    assert!(
        max_abs_error(&first, &all.low_res_masks.narrow(0, 1, 1)) > 1e-3,
        "prompts are ignored"
    );
}

#[test]
fn every_trained_parameter_gets_a_gradient() {
    let device = Default::default();
    let model = model::<TestAutodiff>(&device);
    let head = ObjectHeadConfig::new(24, DIM).init::<TestAutodiff>(&device);
    let states = random::<TestAutodiff, 2>([2, 24], 6, &device).require_grad();
    let prompts = head.forward(states.clone()).unsqueeze_dim(1);
    let output = decode(&model, random([2, DIM, GRID, GRID], 3, &device), prompts);
    let grads =
        (output.low_res_masks.powi_scalar(2).sum() + output.iou_predictions.sum()).backward();
    let moved = |name: &str, gradient: Option<f32>| {
        assert!(
            gradient.is_some_and(|g| g > 0.0 && g.is_finite()),
            "{name}: {gradient:?}"
        );
    };
    let decoder = &model.1;
    let norm = |t: Tensor<TestBackend, 2>| t.abs().max().into_scalar();
    moved("states", states.grad(&grads).map(norm));
    moved("fc1", head.fc1.weight.val().grad(&grads).map(norm));
    moved(
        "mask_tokens",
        decoder.mask_tokens.weight.val().grad(&grads).map(norm),
    );
    moved(
        "iou_token",
        decoder.iou_token.weight.val().grad(&grads).map(norm),
    );
    moved(
        "no_mask_embed",
        model.0.no_mask_embed.weight.val().grad(&grads).map(norm),
    );
    let upscaling = &decoder.output_upscaling;
    moved(
        "conv1",
        upscaling
            .conv1
            .weight
            .val()
            .grad(&grads)
            .map(|t| t.abs().max().into_scalar()),
    );
    let frequencies = &model.0.pe_layer.positional_encoding_gaussian_matrix;
    assert!(
        frequencies.val().grad(&grads).is_none(),
        "the frequencies are trained"
    );
}

#[test]
fn upscaling_is_two_transposed_convolutions() {
    let device = Default::default();
    let upscaling = fill(
        OutputUpscalingConfig::new(DIM).init::<TestBackend>(&device),
        7,
        0.5,
    );
    let (height, width) = (3, 5);
    let cells = random::<TestBackend, 3>([2, height * width, DIM], 8, &device);
    let map = cells
        .clone()
        .swap_dims(1, 2)
        .reshape([2, DIM, height, width]);
    let map = ops::gelu(upscaling.layer_norm.forward(upscaling.conv1.forward(map)));
    let map = ops::gelu(upscaling.conv2.forward(map));
    let pixels = upscaling.forward(cells).swap_dims(1, 2);
    assert_close(
        &OutputUpscaling::<TestBackend>::picture_order(pixels, [height, width]),
        &map,
        1e-5,
    );
}

#[test]
fn no_sparse_prompt_at_all_still_decodes() {
    let device = Default::default();
    let (prompts, decoder) = model::<TestBackend>(&device);
    let prompt = prompts.forward(PromptInput::default());
    assert_eq!(prompt.sparse.dims(), [1, 0, DIM]);
    let output = decoder.forward(MaskDecoderInput {
        image_embeddings: random([1, DIM, GRID, GRID], 3, &device),
        image_pe: prompts.image_pe(),
        sparse: prompt.sparse,
        dense: prompt.dense,
        multimask_output: false,
    });
    assert_eq!(output.low_res_masks.dims(), [1, 1, 4 * GRID, 4 * GRID]);
    assert_eq!(output.iou_predictions.dims(), [1, 1]);
}
