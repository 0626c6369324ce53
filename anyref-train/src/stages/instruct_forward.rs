//! Forward pass of a batch of instructions with teacher forcing.

use anyref_core::{AnyRefModel, MaskFeatures, ReferenceBank, picture_grid, splice};
use anyref_decoder::refocus::ObjectToken;
use anyref_ops as ops;
use anyref_vision::preprocess::PixelValues;
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, DType, Tensor};

use super::context::{floats, indices};
use super::instruct_batch::InstructBatch;
use super::shared_prefix::{PrefixOutput, PrefixReader, SharedPrefix};
use crate::losses::resized;
use crate::stage_error::StageError;

/// Output of the model for a batch.
#[derive(Debug)]
pub struct InstructOutput<B: Backend> {
    /// Logits of the answers' tokens, `[tokens, vocabulary]`.
    pub logits: Tensor<B, 2>,
    /// Mask logits and target shares, `[objects, size, size]`; `None` without objects.
    pub masks: Option<(Tensor<B, 3>, Tensor<B, 3>)>,
    /// IoU estimates of the mask decoder, `[objects]`.
    pub estimates: Option<Tensor<B, 1>>,
    /// IoU estimates for absent objects, `[absent]`; `None` without any.
    pub absent: Option<Tensor<B, 1>>,
    /// Features of the pictures' squares by the tower, `[squares, patches, channels]`.
    pub features: Tensor<B, 3>,
    /// Mask prompts of the objects, `[objects, width]`.
    pub prompts: Option<Tensor<B, 2>>,
    /// Mean of the features of each reference, `[references, hidden]`; `None` without references.
    pub references: Option<Tensor<B, 2>>,
}

/// Runs a batch with teacher forcing. Every scene is encoded once, and the sequence up to the end
/// of the picture is read once a scene. The model must have the encoders that the batch needs, as
/// for batches made by a stage.
pub fn instruct_forward<B: Backend>(
    model: &AnyRefModel<B>,
    batch: &InstructBatch,
    device: &B::Device,
) -> InstructOutput<B> {
    instruct_forward_by(SharedPrefix::read, model, batch, device)
}

/// Runs a batch like [`instruct_forward`]; `read` runs the language model.
pub(super) fn instruct_forward_by<B: Backend>(
    read: impl FnOnce(SharedPrefix<B>) -> PrefixOutput<B>,
    model: &AnyRefModel<B>,
    batch: &InstructBatch,
    device: &B::Device,
) -> InstructOutput<B> {
    let features = tower_features(model, &batch.tower, device);
    let for_masks = || Ok(mask_features(model, &batch.sam, device));
    forward_encoded(model, batch, features, for_masks, read, device)
        .expect("what is computed cannot be unreadable")
}

/// The tower's features of squares, `[squares, patches, channels]`.
pub(super) fn tower_features<B: Backend>(
    model: &AnyRefModel<B>,
    squares: &[PixelValues],
    device: &B::Device,
) -> Tensor<B, 3> {
    let pixels = PixelValues::batch(squares, device);
    model.vision_tower.features(pixels, model.select_layer())
}

/// Features of pictures for the mask decoder.
pub(super) fn mask_features<B: Backend>(
    model: &AnyRefModel<B>,
    pictures: &[PixelValues],
    device: &B::Device,
) -> MaskFeatures<B> {
    model.mask_features(PixelValues::batch(pictures, device))
}

/// Runs a batch from the tower's features and, if there are objects, those of SAM; `read` runs the
/// language model.
pub(super) fn forward_encoded<B: Backend>(
    model: &AnyRefModel<B>,
    batch: &InstructBatch,
    features: Tensor<B, 3>,
    for_masks: impl FnOnce() -> Result<MaskFeatures<B>, StageError>,
    read: impl FnOnce(SharedPrefix<B>) -> PrefixOutput<B>,
    device: &B::Device,
) -> Result<InstructOutput<B>, StageError> {
    let pictures = model.tiled_tokens(features.clone(), &batch.squares);

    let mut parts = Vec::new();
    if !batch.images.is_empty() {
        parts.push(model.image_reference(PixelValues::batch(&batch.images, device)));
    }
    if !batch.boxes.is_empty() {
        parts.push(model.box_reference(picture_grid(features.clone()), &batch.boxes));
    }
    if let Some(first) = batch.sounds.first() {
        let [clips, channels, mel, frames] = first.shape;
        let values = batch
            .sounds
            .iter()
            .flat_map(|sound| sound.data.iter().copied())
            .collect();
        let sounds = floats(
            values,
            [batch.sounds.len(), clips, channels, mel, frames],
            device,
        );
        parts.extend(model.audio_reference(sounds));
    }
    parts.extend(region_tokens(batch, &pictures));
    let mut bank = ReferenceBank::default();
    let mut references = Vec::new();
    for part in parts {
        let [count, _, hidden] = part.dims();
        references.push(part.clone().mean_dim(1).reshape([count, hidden]));
        bank.push(part);
    }
    let references = (!references.is_empty()).then(|| Tensor::cat(references, 0));

    let empty = ReferenceBank::default();
    let prefixes = &batch.prefixes;
    let prefix = splice(&model.llm, prefixes, Some(pictures), &empty, 0, device);
    let begun = batch.longest_prefix();
    let rows = splice(&model.llm, &batch.rows, None, &bank, begun, device);
    let prefix_of = batch.pictures.clone();
    // Features and references have losses of their own, and so skip the language model.
    let skip = [Some(features), references.map(Tensor::unsqueeze)];
    let read = read(SharedPrefix {
        reader: PrefixReader {
            llm: model.llm.clone(),
            padding: with_prefix(rows.padding, prefix.padding.as_ref(), &prefix_of),
            prefix_padding: prefix.padding,
            prefix_of,
        },
        prefix: prefix.embeddings,
        rows: rows.embeddings,
        skip: skip.into_iter().flatten().collect(),
    });
    let output = read.output;
    let mut skip = read.skip.into_iter();
    let features = skip.next().expect("the features skip the layers");
    let references = skip.next().map(|references| references.squeeze_dim::<2>(0));

    let [count, length, width] = output.hidden.dims();
    let predictors = batch.predicted.iter();
    let predictors: Vec<usize> = predictors
        .map(|token| token.row * length + token.position)
        .collect();
    let states = output
        .hidden
        .clone()
        .reshape([count * length, width])
        .select(0, indices(&predictors, device));
    // Losses are f32, whatever precision the model has.
    let logits: Tensor<B, 2> = model.llm.logits(states.unsqueeze()).squeeze_dim(0);
    let logits = logits.cast(DType::F32);

    let (there, absent) = (batch.objects.len(), batch.absent.len());
    if there + absent == 0 {
        return Ok(InstructOutput {
            logits,
            masks: None,
            estimates: None,
            absent: None,
            features,
            prompts: None,
            references,
        });
    }
    let [_, heads, _, head_dim] = output.query.dims();
    let at: Vec<usize> = batch
        .pointed()
        .map(|object| object.row * length + object.position)
        .collect();
    let query = ops::permute(output.query, [0, 2, 1, 3])
        .reshape([count * length, heads, head_dim])
        .select(0, indices(&at, device));
    let objects = batch
        .pointed()
        .map(|object| ObjectToken {
            row: object.row,
            position: begun + object.position,
            start: begun + object.start,
            end: begun + object.position,
            context_start: 0,
        })
        .collect();
    let prompts = model.object_prompts(query, output.key, output.hidden, begun, objects);

    let picture_of = indices(&batch.picture_of_objects(), device);
    let decoded = model.decode_prompts(for_masks()?.select(picture_of), prompts.clone());
    let estimates: Tensor<B, 1> = decoded.iou_predictions.squeeze_dim(1);
    let estimates = estimates.cast(DType::F32);
    let masks = (there > 0).then(|| {
        let size = batch.mask_size;
        let masks = decoded.low_res_masks.narrow(0, 0, there).cast(DType::F32);
        let targets = floats(batch.masks.clone(), [there, size, size], device);
        (resized(masks, size), targets)
    });
    Ok(InstructOutput {
        logits,
        masks,
        estimates: (there > 0).then(|| estimates.clone().narrow(0, 0, there)),
        absent: (absent > 0).then(|| estimates.narrow(0, there, absent)),
        features,
        prompts: (there > 0).then(|| prompts.narrow(0, 0, there).cast(DType::F32)),
        references,
    })
}

/// Tokens of each region, `[1, tokens, hidden]`, from those of all pictures.
fn region_tokens<B: Backend>(batch: &InstructBatch, pictures: &Tensor<B, 3>) -> Vec<Tensor<B, 3>> {
    let [count, most, hidden] = pictures.dims();
    let each = most / batch.squares.iter().copied().max().unwrap_or(1);
    let regions = batch.token_regions.iter();
    let regions = regions.map(|region| {
        let last = region.picture * most + (batch.squares[region.picture] - 1) * each;
        let places: Vec<usize> = region.cells.iter().map(|cell| last + cell).collect();
        let tokens = pictures.clone().reshape([count * most, hidden]);
        let tokens = tokens.select(0, indices(&places, &pictures.device()));
        tokens.unsqueeze()
    });
    regions.collect()
}

/// Padding of rows, which have none ahead of themselves, behind the padding of the prefixes that
/// each follows.
///
/// # Shapes
/// - rows: `[rows, prefix + length]`
/// - prefixes: `[pictures, prefix]`
/// - output: `[rows, prefix + length]`
fn with_prefix<B: Backend>(
    rows: Option<Tensor<B, 2, Bool>>,
    prefixes: Option<&Tensor<B, 2, Bool>>,
    prefix_of: &[usize],
) -> Option<Tensor<B, 2, Bool>> {
    let (Some(rows), Some(prefixes)) = (rows.clone(), prefixes) else {
        return rows;
    };
    let [_, begun] = prefixes.dims();
    let [_, length] = rows.dims();
    // By way of integers, since Flex selects booleans into another type.
    let before = prefixes.clone().int();
    let before = before.select(0, indices(prefix_of, &rows.device())).bool();
    let own = rows.narrow(1, begun, length - begun);
    Some(Tensor::cat(vec![before, own], 1))
}
