//! Prompt padding for SAM 2.

use burn::tensor::{Tensor, backend::Backend};

use crate::prompt_encoder::{PromptEmbeddings, PromptEncoder, PromptInput};

impl<B: Backend> PromptEncoder<B> {
    /// Embeds prompts like [`forward`](Self::forward), with the missing points that SAM 2 was
    /// trained with: one after a box too, and two if there is neither point nor box, before the
    /// embeddings (transformers `Sam2Model`; SAM 2 `sam2_base.py`, `_forward_sam_heads`).
    pub fn forward_padded(&self, mut input: PromptInput<B>) -> PromptEmbeddings<B> {
        let embeddings = input.embeddings.take();
        let given = embeddings.as_ref().map(|embeddings| embeddings.dims()[0]);
        let missing = match (&input.points, &input.boxes) {
            (None, None) => 2,
            (_, Some(_)) => 1,
            (Some(_), None) => 0,
        };
        let PromptEmbeddings { sparse, dense } = self.forward(input);
        let [objects, count, dim] = sparse.dims();
        // Without points, boxes and masks only the embeddings determine the number of objects.
        let objects = match (count, given) {
            (0, Some(given)) => given,
            _ => objects,
        };
        let mut parts = Vec::with_capacity(3);
        if count > 0 {
            parts.push(sparse);
        }
        if missing > 0 {
            let point: Tensor<B, 2> = self.not_a_point_embed.weight.val();
            parts.push(point.unsqueeze::<3>().expand([objects, missing, dim]));
        }
        parts.extend(embeddings);
        let sparse = match parts.len() {
            1 => parts.remove(0),
            _ => Tensor::cat(parts, 1),
        };
        PromptEmbeddings { sparse, dense }
    }
}
