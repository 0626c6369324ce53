//! SAM's prompt encoder.

use anyref_ops as ops;
use anyref_ops::nn::{LayerNorm2d, LayerNorm2dConfig};
use burn::config::Config;
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{DType, Int, Tensor, backend::Backend};

use crate::error::{Result, positive_multiple};
use crate::position::{PositionEmbeddingRandom, PositionEmbeddingRandomConfig};

/// Configuration of a [`PromptEncoder`]; the defaults are SAM's.
#[derive(Config, Debug)]
pub struct PromptEncoderConfig {
    /// Width of a prompt, an even number.
    #[config(default = 256)]
    pub embed_dim: usize,
    /// Number of cells along a side of the picture's embedding.
    #[config(default = 64)]
    pub image_embedding_size: usize,
    /// Side of the image encoder's input in pixels, to which points and boxes refer.
    #[config(default = 1024)]
    pub input_image_size: usize,
    /// Channels inside the mask embedding, a multiple of 4.
    #[config(default = 16)]
    pub mask_in_chans: usize,
}

impl PromptEncoderConfig {
    /// Configuration for tests and small models: `embed_dim` wide, over `grid` × `grid` cells of 16
    /// pixels.
    pub fn nano(embed_dim: usize, grid: usize) -> Self {
        Self::new()
            .with_embed_dim(embed_dim)
            .with_image_embedding_size(grid)
            .with_input_image_size(grid * 16)
    }

    /// Checks that the encoder can be built.
    ///
    /// # Errors
    /// When the width is 0 or odd, there are no cells or pixels, or 4 does not divide the mask
    /// channels.
    pub fn validate(&self) -> Result<()> {
        let multiples = [
            ("embed_dim", self.embed_dim, 2),
            ("image_embedding_size", self.image_embedding_size, 1),
            ("input_image_size", self.input_image_size, 1),
            ("mask_in_chans", self.mask_in_chans, 4),
        ];
        multiples
            .into_iter()
            .try_for_each(|(field, size, of)| positive_multiple(field, size, of))
    }

    /// Creates the encoder with PyTorch's initialisation.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> PromptEncoder<B> {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let (dim, channels) = (self.embed_dim, self.mask_in_chans);
        let embedding = EmbeddingConfig::new(1, dim);
        let halve = |channels| Conv2dConfig::new(channels, [2, 2]).with_stride([2, 2]);
        PromptEncoder {
            pe_layer: PositionEmbeddingRandomConfig::new(dim / 2).init(device),
            point_embeddings: (0..4).map(|_| embedding.init(device)).collect(),
            not_a_point_embed: embedding.init(device),
            mask_downscaling: MaskEmbedding {
                conv1: halve([1, channels / 4]).init(device),
                layer_norm1: LayerNorm2dConfig::new(channels / 4).init(device),
                conv2: halve([channels / 4, channels]).init(device),
                layer_norm2: LayerNorm2dConfig::new(channels).init(device),
                conv3: Conv2dConfig::new([channels, dim], [1, 1]).init(device),
            },
            no_mask_embed: embedding.init(device),
            image_embedding_size: self.image_embedding_size,
            input_image_size: self.input_image_size,
        }
    }
}

/// Point prompts.
#[derive(Debug, Clone)]
pub struct Points<B: Backend> {
    /// Coordinates `[n, points, 2]`: (x, y) in pixels of the image encoder's input.
    pub coords: Tensor<B, 3>,
    /// Labels `[n, points]`: 1 on the object, 0 off it, -1 not a point.
    pub labels: Tensor<B, 2, Int>,
}

/// Prompts for `n` objects, in any combination with equal `n`.
#[derive(Debug, Clone, Default)]
pub struct PromptInput<B: Backend> {
    /// Points on and off the objects.
    pub points: Option<Points<B>>,
    /// Box of each object, `[n, 4]`: (x0, y0, x1, y1) in pixels of the image encoder's input.
    pub boxes: Option<Tensor<B, 2>>,
    /// Mask logits, `[n, 1, 4 g, 4 g]`.
    pub masks: Option<Tensor<B, 4>>,
    /// Embeddings used directly as prompts, such as an [`ObjectHead`](crate::ObjectHead)'s,
    /// `[n, k, d]`, without position and label.
    pub embeddings: Option<Tensor<B, 3>>,
}

impl<B: Backend> PromptInput<B> {
    /// Sets [`points`](Self::points).
    pub fn with_points(mut self, coords: Tensor<B, 3>, labels: Tensor<B, 2, Int>) -> Self {
        self.points = Some(Points { coords, labels });
        self
    }

    /// Sets [`boxes`](Self::boxes).
    pub fn with_boxes(mut self, boxes: Tensor<B, 2>) -> Self {
        self.boxes = Some(boxes);
        self
    }

    /// Sets [`masks`](Self::masks).
    pub fn with_masks(mut self, masks: Tensor<B, 4>) -> Self {
        self.masks = Some(masks);
        self
    }

    /// Sets [`embeddings`](Self::embeddings).
    pub fn with_embeddings(mut self, embeddings: Tensor<B, 3>) -> Self {
        self.embeddings = Some(embeddings);
        self
    }
}

/// Prompts as the mask decoder's input.
#[derive(Debug, Clone)]
pub struct PromptEmbeddings<B: Backend> {
    /// Embeddings of points, boxes and other prompts in this order, `[n, k, d]`; `k` is 0 when
    /// there are none.
    pub sparse: Tensor<B, 3>,
    /// Mask prompts `[n, d, g, g]`, or the no-mask embedding `[1, d, g, g]`, which serves all
    /// objects.
    pub dense: Tensor<B, 4>,
}

/// SAM's prompt encoder, from prompts to embeddings (segment-anything `prompt_encoder.py`,
/// `PromptEncoder`).
#[derive(Module, Debug)]
pub struct PromptEncoder<B: Backend> {
    /// Position encoding of points, corners and picture cells.
    pub pe_layer: PositionEmbeddingRandom<B>,
    /// Embeddings of four kinds of point: off the object, on the object, first corner, second
    /// corner.
    pub point_embeddings: Vec<Embedding<B>>,
    /// Embedding of a missing point.
    pub not_a_point_embed: Embedding<B>,
    /// Embedding of mask prompts.
    pub mask_downscaling: MaskEmbedding<B>,
    /// Embedding of a missing mask prompt.
    pub no_mask_embed: Embedding<B>,
    /// Number of cells along a side of the picture's embedding.
    pub image_embedding_size: usize,
    /// Side of the image encoder's input in pixels.
    pub input_image_size: usize,
}

impl<B: Backend> PromptEncoder<B> {
    /// Position encoding of the picture's cells.
    ///
    /// # Shapes
    /// - output: `[1, d, g, g]`
    pub fn image_pe(&self) -> Tensor<B, 4> {
        let grid = self.image_embedding_size;
        let dtype = self.no_mask_embed.weight.val().dtype();
        let encoding = self.pe_layer.grid([grid, grid], dtype);
        // The decoder reads cells one after another, as they lie.
        ops::map_of_cells(encoding, [grid, grid])
    }

    /// Embeds the prompts. Points without a box are followed by one missing point.
    pub fn forward(&self, input: PromptInput<B>) -> PromptEmbeddings<B> {
        let objects = input.objects();
        let pad = input.boxes.is_none();
        let sparse = [
            input.points.map(|points| self.embed_points(points, pad)),
            input.boxes.map(|boxes| self.embed_boxes(boxes)),
            input.embeddings,
        ];
        let mut sparse = sparse.into_iter().flatten().collect::<Vec<_>>();
        let no_mask = self.no_mask_embed.weight.val();
        let [_, dim] = no_mask.dims();
        let sparse = match sparse.len() {
            0 => Tensor::empty([objects, 0, dim], (&no_mask.device(), no_mask.dtype())),
            1 => sparse.remove(0),
            _ => Tensor::cat(sparse, 1),
        };
        let grid = self.image_embedding_size;
        let dense = match input.masks {
            Some(masks) => self.mask_downscaling.forward(masks),
            None => no_mask.reshape([1, dim, 1, 1]).expand([1, dim, grid, grid]),
        };
        PromptEmbeddings { sparse, dense }
    }

    fn embed_points(&self, points: Points<B>, pad: bool) -> Tensor<B, 3> {
        let Points {
            mut coords,
            mut labels,
        } = points;
        let [objects, _, _] = coords.dims();
        coords = coords + 0.5;
        if pad {
            let device = coords.device();
            let corner = Tensor::zeros([objects, 1, 2], (&device, coords.dtype()));
            let missing = Tensor::full([objects, 1], -1, (&device, labels.dtype()));
            coords = Tensor::cat(vec![coords, corner], 1);
            labels = Tensor::cat(vec![labels, missing], 1);
        }
        let place = self.place(coords);
        let dtype = place.dtype();
        let labelled = |label: i32| {
            labels
                .clone()
                .equal_elem(label)
                .float()
                .cast(dtype)
                .unsqueeze_dim::<3>(2)
        };
        let missing = labelled(-1);
        place * (1.0 - missing.clone())
            + missing * self.not_a_point_embed.weight.val().unsqueeze()
            + labelled(0) * self.point_embeddings[0].weight.val().unsqueeze()
            + labelled(1) * self.point_embeddings[1].weight.val().unsqueeze()
    }

    fn embed_boxes(&self, boxes: Tensor<B, 2>) -> Tensor<B, 3> {
        let [objects, _] = boxes.dims();
        let corners = [&self.point_embeddings[2], &self.point_embeddings[3]];
        let labels = Tensor::cat(corners.map(|corner| corner.weight.val()).to_vec(), 0);
        self.place((boxes + 0.5).reshape([objects, 2, 2])) + labels.unsqueeze()
    }

    /// Position encoding of pixels.
    fn place(&self, pixels: Tensor<B, 3>) -> Tensor<B, 3> {
        self.pe_layer
            .forward(pixels.cast(DType::F32) / self.input_image_size as f64)
            .cast(self.no_mask_embed.weight.val().dtype())
    }
}

impl<B: Backend> PromptInput<B> {
    fn objects(&self) -> usize {
        let points = self.points.as_ref().map(|points| points.coords.dims()[0]);
        let boxes = self.boxes.as_ref().map(|boxes| boxes.dims()[0]);
        let masks = self.masks.as_ref().map(|masks| masks.dims()[0]);
        let embeddings = self
            .embeddings
            .as_ref()
            .map(|embeddings| embeddings.dims()[0]);
        points.or(boxes).or(masks).or(embeddings).unwrap_or(1)
    }
}

/// Embedding of mask logits in the picture's grid (segment-anything `mask_downscaling`).
#[derive(Module, Debug)]
pub struct MaskEmbedding<B: Backend> {
    /// Layer `mask_downscaling.0`.
    pub conv1: Conv2d<B>,
    /// Layer `mask_downscaling.1`.
    pub layer_norm1: LayerNorm2d<B>,
    /// Layer `mask_downscaling.3`.
    pub conv2: Conv2d<B>,
    /// Layer `mask_downscaling.4`.
    pub layer_norm2: LayerNorm2d<B>,
    /// Layer `mask_downscaling.6`.
    pub conv3: Conv2d<B>,
}

impl<B: Backend> MaskEmbedding<B> {
    /// Embeds mask logits.
    ///
    /// # Shapes
    /// - masks: `[n, 1, 4 g, 4 g]`
    /// - output: `[n, d, g, g]`
    pub fn forward(&self, masks: Tensor<B, 4>) -> Tensor<B, 4> {
        let x = ops::gelu(self.layer_norm1.forward(self.conv1.forward(masks)));
        let x = ops::gelu(self.layer_norm2.forward(self.conv2.forward(x)));
        self.conv3.forward(x)
    }
}
