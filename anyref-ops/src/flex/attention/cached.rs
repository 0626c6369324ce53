//! Attention to keys and values that are kept narrower than f32, without a wide copy of them.

use super::forward::forward_narrow;
use super::held::{Halves, Steps};
#[cfg(target_endian = "little")]
use super::problem::byte_rows;
use super::problem::{Extent, Options, rows, with_slices};
use super::views::Views;
use super::{mask, mask_fits};
use crate::dispatch::{FlexKind, from_primitive, same, to_primitive};
use crate::flex::buffer::all_f32;
use crate::flex::linear::Stored;
use crate::{CachedAttention, CachedRows, Q8_0Rows};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, bf16, f16};
use burn_flex::FlexTensor;

/// Sizes and types are those of the fused form.
fn fits<B: Backend>(input: &CachedAttention<B>) -> bool {
    let [batch, heads, queries, head_dim] = input.query.dims();
    let [_, kv_heads, keys, value_dim] = input.value.dims();
    let extents = [batch, heads, queries, head_dim, kv_heads, keys, value_dim];
    let types_fit = match (&input.key, &input.value) {
        (CachedRows::Float(key), CachedRows::Float(value)) => {
            key.dtype() == value.dtype() && matches!(key.dtype(), DType::F16 | DType::BF16)
        }
        (CachedRows::Q8_0(key), CachedRows::Q8_0(value)) => {
            let types = |rows: &Q8_0Rows<B>| (rows.words.dtype(), rows.scales.dtype());
            let expected = (DType::I32, DType::F16);
            cfg!(target_endian = "little") && types(key) == expected && types(value) == expected
        }
        _ => false,
    };
    let mask = input.mask.as_ref();
    FlexKind::of::<B>() == Some(FlexKind::Inference)
        && extents.iter().all(|&extent| extent > 0)
        && heads.is_multiple_of(kv_heads)
        && input.key.dims() == [batch, kv_heads, keys, head_dim]
        && input.value.dims()[0] == batch
        && all_f32(&[input.query.dtype()])
        && types_fit
        && mask.is_none_or(|mask| mask_fits(mask, [batch, heads, queries, keys]))
}

/// Attention, or its input back.
pub(crate) fn cached_attention<B: Backend>(
    input: CachedAttention<B>,
) -> Result<Tensor<B, 4>, CachedAttention<B>> {
    if !fits(&input) {
        return Err(input);
    }
    let [batch, heads, queries, head_dim] = input.query.dims();
    let [_, kv_heads, keys, value_dim] = input.value.dims();
    let task = Task {
        query: with_slices(&to_primitive(input.query)),
        extent: Extent {
            batch,
            heads,
            kv_heads,
            queries,
            keys,
            head_dim,
            value_dim,
        },
        options: Options {
            mask: input.mask.map(mask),
            causal: input.causal,
            scale: (head_dim as f64).powf(-0.5) as f32,
            rounded: false,
        },
    };
    let output = match (input.key, input.value) {
        (CachedRows::Float(key), CachedRows::Float(value)) => {
            let both = [key, value].map(|x| with_slices(&to_primitive(x)));
            match both[0].dtype() {
                DType::F16 => task.of_halves::<f16>(&both),
                _ => task.of_halves::<bf16>(&both),
            }
        }
        (CachedRows::Q8_0(key), CachedRows::Q8_0(value)) => task.of_steps([key, value]),
        _ => unreachable!("keys and values are of one type"),
    };
    Ok(from_primitive(output))
}

/// Attention but for its keys and values.
struct Task {
    query: FlexTensor,
    extent: Extent,
    options: Options,
}

impl Task {
    fn of_halves<H: Stored>(&self, [key, value]: &[FlexTensor; 2]) -> FlexTensor {
        let held = [Halves::<H>(rows(key)), Halves(rows(value))];
        let views = Views::of(self.extent, &self.query, held, &self.options);
        forward_narrow(&views, &self.query)
    }

    #[cfg(target_endian = "little")]
    fn of_steps<B: Backend>(&self, held: [Q8_0Rows<B>; 2]) -> FlexTensor {
        let held = held.map(|rows| {
            let words: FlexTensor = same(rows.words.into_primitive());
            [with_slices(&words), with_slices(&to_primitive(rows.scales))]
        });
        let held = held.each_ref().map(|[words, scales]| Steps {
            steps: byte_rows(words),
            scales: rows(scales),
        });
        let views = Views::of(self.extent, &self.query, held, &self.options);
        forward_narrow(&views, &self.query)
    }

    #[cfg(not(target_endian = "little"))]
    fn of_steps<B: Backend>(&self, _: [Q8_0Rows<B>; 2]) -> FlexTensor {
        unreachable!("words are bytes in another order")
    }
}
