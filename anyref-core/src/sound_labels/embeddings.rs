//! Embeddings of the labels' prompts.

use anyref_audio::imagebind::{ImageBindText, ImageBindTextConfig};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::read::read;
use crate::{Error, Result};

/// Maximum memory in bytes of the activations of texts that are embedded together.
const BATCH_BYTES: usize = 256 << 20;
/// Activations of the tokens' width that a block holds at a time besides the MLP's: input,
/// normalised input, query, key, value and output of the attention.
const STREAMS: usize = 6;

/// Embeddings of the labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LabelEmbeddings {
    /// Values, one row per label.
    pub(super) values: Vec<f32>,
    /// Values of a row.
    pub(super) width: usize,
}

impl LabelEmbeddings {
    /// Embeds prompts in batches of similar length, limited by [`BATCH_BYTES`].
    pub(super) async fn compute<B: Backend>(
        tower: &ImageBindText<B>,
        config: &ImageBindTextConfig,
        prompts: &[Vec<u32>],
        device: &B::Device,
    ) -> Result<Self> {
        let width = config.output_dim;
        let mut values = vec![0.0; prompts.len() * width];
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.sort_by_key(|&label| prompts[label].len());
        let mut rest = &order[..];
        while let Some(&longest) = rest.last() {
            // Starting with the longest, so that no text of a batch is longer than estimated.
            let length = prompts[longest].len();
            let rows = (BATCH_BYTES / row_bytes(config, length)).clamp(1, rest.len());
            let (before, batch) = rest.split_at(rest.len() - rows);
            let mut ids = Vec::with_capacity(rows * length);
            for &label in batch {
                let prompt = &prompts[label];
                ids.extend(prompt.iter().map(|&id| i64::from(id)));
                ids.resize(ids.len() + length - prompt.len(), 0);
            }
            let ids = TensorData::new(ids, [rows, length]);
            let embeddings = tower.forward(Tensor::<B, 2, Int>::from_data(ids, device));
            let embeddings = read(embeddings.cast(DType::F32)).await?;
            let mut embeddings = embeddings.iter::<f32>();
            for &label in batch {
                let row = &mut values[label * width..][..width];
                row.iter_mut()
                    .zip(&mut embeddings)
                    .for_each(|(to, from)| *to = from);
            }
            rest = before;
        }
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(Self { values, width }),
            false => Err(Error::NotFinite),
        }
    }

    /// Rows, one per label.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }
}

/// Bytes of one text in a block.
fn row_bytes(config: &ImageBindTextConfig, length: usize) -> usize {
    let mlp = 2.0 * config.mlp_ratio;
    let streams = config.hidden_size * (STREAMS + mlp as usize);
    let scores = config.num_attention_heads * length;
    size_of::<f32>() * length * (streams + scores)
}
