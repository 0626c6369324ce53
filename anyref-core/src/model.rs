//! The network: every part of AnyRef and the ways from one to the next.

use anyref_audio::ImageBindAudio;
use anyref_decoder::refocus::{ObjectToken, RefocusInput, refocus};
use anyref_decoder::{MaskDecoder, MaskDecoderOutput, ObjectHead, PromptEncoder};
use anyref_llm::Llama;
use anyref_ops as ops;
use anyref_ops::nn::Linear;
use anyref_vision::region_encoder::RegionEncoder;
use anyref_vision::sam::SamImageEncoder;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use serde::{Deserialize, Serialize};

use crate::mask_features::MaskFeatures;
use crate::sam::{MaskDecoderKind, MaskImageEncoder};
use crate::tower::{Tower, TowerProjector};

/// Pooling of the patch tokens of a reference picture to a few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReferencePooling {
    /// Horizontal strips, as the authors pool.
    Strips,
    /// Square cells.
    Grid,
}

/// Parts of AnyRef, created by [`AnyRefConfig::init`](crate::AnyRefConfig::init).
///
/// Fields carry the names of the authors' checkpoints where those have one.
#[derive(Module, Debug)]
pub struct AnyRefModel<B: Backend> {
    /// CLIP, or InternViT over tiles: what the language model sees of a picture.
    pub vision_tower: Tower<B>,
    /// Projection of the tower's features to the width of the language model.
    pub mm_projector: TowerProjector<B>,
    /// Image encoder of SAM or SAM 2, for the mask decoder. `None` for a model that answers in
    /// words alone, which has no object head, prompt encoder and mask decoder either.
    pub image_encoder: Option<MaskImageEncoder<B>>,
    /// ImageBind's audio encoder.
    pub audio_encoder: Option<ImageBindAudio<B>>,
    /// Sound embeddings into the language model's width.
    pub audio_projector: Option<Linear<B>>,
    /// Projection of the four normalised coordinates of a box to the width of the language model.
    pub box_projector: Option<Linear<B>>,
    /// Encoder of boxes by several hidden states of CLIP, in place of RoIAlign over one state and
    /// the projectors.
    pub region_encoder: Option<RegionEncoder<B>>,
    /// Language model.
    pub llm: Llama<B>,
    /// Refocused `<obj>` states into mask prompts.
    pub text_hidden_fcs: Option<ObjectHead<B>>,
    /// SAM's prompt encoder.
    pub prompt_encoder: Option<PromptEncoder<B>>,
    /// Mask decoder of SAM or SAM 2.
    pub mask_decoder: Option<MaskDecoderKind<B>>,
    pub(crate) select_layer: i32,
    pub(crate) reference_tokens: usize,
    pub(crate) square_pooling: bool,
    pub(crate) refocus_lambda: f64,
}

/// Parts of a model that make masks by SAM: SAM itself, and the head that prompts it.
#[derive(Debug)]
pub struct MaskBranch<'a, B: Backend> {
    /// SAM's image encoder.
    pub image_encoder: &'a SamImageEncoder<B>,
    /// Refocused `<obj>` states into mask prompts.
    pub text_hidden_fcs: &'a ObjectHead<B>,
    /// SAM's prompt encoder.
    pub prompt_encoder: &'a PromptEncoder<B>,
    /// SAM's mask decoder.
    pub mask_decoder: &'a MaskDecoder<B>,
}

/// Batch of pictures as the other parts need them.
#[derive(Debug, Clone)]
pub struct PictureFeatures<B: Backend> {
    /// Features of the tower, `[pictures, channels, rows, columns]`, for boxes; for a picture in
    /// tiles those of the last tile, which shows the whole picture.
    pub grid: Tensor<B, 4>,
    /// Projected features `[pictures, tokens, hidden]`, for the language model.
    pub tokens: Tensor<B, 3>,
    /// Hidden states of CLIP that a region encoder reads, `[pictures, patches, channels]` each;
    /// none of a model without one.
    pub states: Vec<Tensor<B, 3>>,
}

impl<B: Backend> PictureFeatures<B> {
    /// Hidden states of one picture.
    pub(crate) fn states_of(&self, picture: usize) -> Vec<Tensor<B, 3>> {
        let states = self.states.iter();
        let states = states.map(|state| state.clone().narrow(0, picture, 1));
        states.collect()
    }
}

impl<B: Backend> AnyRefModel<B> {
    /// Parts that make masks by SAM; `None` for a model that makes them by SAM 2, or answers in
    /// words alone.
    pub fn masks(&self) -> Option<MaskBranch<'_, B>> {
        let (MaskImageEncoder::Sam(image_encoder), MaskDecoderKind::Sam(mask_decoder)) =
            (self.image_encoder.as_ref()?, self.mask_decoder.as_ref()?)
        else {
            return None;
        };
        Some(MaskBranch {
            image_encoder,
            text_hidden_fcs: self.text_hidden_fcs.as_ref()?,
            prompt_encoder: self.prompt_encoder.as_ref()?,
            mask_decoder,
        })
    }

    /// Parts that make masks, of a model that has SAM.
    ///
    /// # Panics
    /// When it has none, which [`AnyRefConfig::sam`](crate::AnyRefConfig::sam) tells.
    pub fn mask_branch(&self) -> MaskBranch<'_, B> {
        self.masks().expect("the model makes masks by SAM")
    }

    /// Hidden state of the tower that is used; negative counts from the end.
    pub fn select_layer(&self) -> i32 {
        self.select_layer
    }

    /// Tokens of one picture or box reference.
    pub fn reference_tokens(&self) -> usize {
        self.reference_tokens
    }

    /// Pooling of reference pictures.
    pub fn reference_pooling(&self) -> ReferencePooling {
        if self.square_pooling {
            ReferencePooling::Grid
        } else {
            ReferencePooling::Strips
        }
    }

    /// Weight of the refocusing correction, λ.
    pub fn refocus_lambda(&self) -> f64 {
        self.refocus_lambda
    }

    /// Changes λ; 0 switches refocusing off.
    pub fn with_refocus_lambda(mut self, lambda: f64) -> Self {
        self.refocus_lambda = lambda;
        self
    }

    /// Computes the tower's features of pictures that it reads in one square.
    ///
    /// # Shapes
    /// - pixel_values: `[pictures, 3, size, size]`
    ///
    /// # Panics
    /// When a picture is not of the tower's size, or the tower has no such hidden state as
    /// [`select_layer`](Self::select_layer).
    pub fn picture_features(&self, pixel_values: Tensor<B, 4>) -> PictureFeatures<B> {
        self.tiled_features(pixel_values, 1)
    }

    /// Computes the features of pictures that have `squares` squares each, picture after picture.
    ///
    /// # Shapes
    /// - pixel_values: `[pictures * squares, 3, size, size]`
    ///
    /// # Panics
    /// As [`picture_features`](Self::picture_features), and when `squares` is 0.
    pub fn tiled_features(&self, pixel_values: Tensor<B, 4>, squares: usize) -> PictureFeatures<B> {
        let (features, states) = self.tower_features(pixel_values);
        let [all, patches, channels] = features.dims();
        let pictures = all / squares;
        let last = features
            .clone()
            .reshape([pictures, squares, patches * channels]);
        let last = last.narrow(1, squares - 1, 1);
        let tokens = self.mm_projector.forward(features);
        let [_, each, hidden] = tokens.dims();
        PictureFeatures {
            grid: picture_grid(last.reshape([pictures, patches, channels])),
            tokens: tokens.reshape([pictures, squares * each, hidden]),
            states,
        }
    }

    /// Patch features of the selected hidden state, and the hidden states that a region encoder
    /// reads, the last of which is the selected one.
    fn tower_features(&self, pixel_values: Tensor<B, 4>) -> (Tensor<B, 3>, Vec<Tensor<B, 3>>) {
        let Some(encoder) = &self.region_encoder else {
            let features = self.vision_tower.features(pixel_values, self.select_layer);
            return (features, Vec::new());
        };
        let tower = self.vision_tower.clip();
        let last = tower.config().layers_until(self.select_layer);
        let levels = last.and_then(|last| encoder.config().level_states(last));
        let levels = levels.unwrap_or_else(|error| panic!("{error}"));
        let states = tower.features_at(pixel_values, &levels);
        (states.last().expect("a level at least").clone(), states)
    }

    /// Computes the tokens of pictures from the tower's patch features, which can be cached if the
    /// tower is frozen. `squares` has the number of squares of each picture; those with fewer than
    /// the most are filled up at the end with repetitions of their last square, to be masked.
    ///
    /// # Shapes
    /// - features: `[squares of all pictures, patches, channels]`
    /// - output: `[pictures, most squares * tokens of a square, hidden]`
    ///
    /// # Panics
    /// When `squares` does not count the squares of `features`.
    pub fn tiled_tokens(&self, features: Tensor<B, 3>, squares: &[usize]) -> Tensor<B, 3> {
        let tokens = self.mm_projector.forward(features);
        let [all, each, hidden] = tokens.dims();
        assert_eq!(
            all,
            squares.iter().sum::<usize>(),
            "squares of each picture"
        );
        let most = squares.iter().copied().max().unwrap_or(0);
        let shape = [squares.len(), most * each, hidden];
        if all == squares.len() * most {
            return tokens.reshape(shape);
        }
        let mut places = Vec::with_capacity(squares.len() * most);
        let mut first = 0;
        for &count in squares {
            places.extend((0..most).map(|square| (first + square.min(count - 1)) as i32));
            first += count;
        }
        let count = places.len();
        let places = TensorData::new(places, [count]);
        let places = Tensor::<B, 1, Int>::from_data(places, &tokens.device());
        tokens.select(0, places).reshape(shape)
    }

    /// Computes the mask prompts of `<obj>` states: refocused, then through the object head.
    ///
    /// # Shapes
    /// - query: `[objects, heads, head_dim]`, the last layer's query of each object, in their order
    /// - key: `[rows, kv_heads, positions, head_dim]`, the last layer's keys
    /// - hidden: `[rows, states, hidden]`, the last hidden states from position `hidden_offset` on
    /// - output: `[objects, mask decoder width]`
    ///
    /// # Panics
    /// As [`refocus`]: when an object lies outside the keys or the hidden states, or the tensors do
    /// not fit; and when the model makes no masks.
    pub fn object_prompts(
        &self,
        query: Tensor<B, 3>,
        key: Tensor<B, 4>,
        hidden: Tensor<B, 3>,
        hidden_offset: usize,
        objects: Vec<ObjectToken>,
    ) -> Tensor<B, 2> {
        self.refocused_prompts(RefocusInput {
            query,
            key,
            hidden,
            hidden_offset,
            objects,
            lambda: self.refocus_lambda,
        })
    }

    /// Mask prompts refocused with any λ.
    pub(crate) fn refocused_prompts(&self, input: RefocusInput<B>) -> Tensor<B, 2> {
        let head = self.text_hidden_fcs.as_ref();
        let head = head.expect("the model makes masks");
        head.forward(refocus(input))
    }

    /// Decodes one mask a prompt, by SAM.
    ///
    /// # Shapes
    /// - image_embeddings: `[objects, width, rows, columns]`, each object's picture, or one for all
    /// - prompts: `[objects, width]`
    /// - output: logits `[objects, 1, 4 * rows, 4 * columns]` and the IoU expected of them,
    ///   `[objects, 1]`
    ///
    /// # Panics
    /// As [`mask_branch`](Self::mask_branch).
    pub fn decode_masks(
        &self,
        image_embeddings: Tensor<B, 4>,
        prompts: Tensor<B, 2>,
    ) -> MaskDecoderOutput<B> {
        self.decode_prompts(MaskFeatures::of_sam(image_embeddings), prompts)
    }
}

/// Patch features in the order of the picture, for boxes.
///
/// # Shapes
/// - features: `[pictures, patches, channels]`
/// - output: `[pictures, channels, rows, columns]`
///
/// # Panics
/// When the patches are not a square grid.
pub fn picture_grid<B: Backend>(features: Tensor<B, 3>) -> Tensor<B, 4> {
    let [pictures, patches, channels] = features.dims();
    let side = patches.isqrt();
    ops::permute(features, [0, 2, 1]).reshape([pictures, channels, side, side])
}
