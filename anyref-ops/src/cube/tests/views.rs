//! Attention that reads and writes rows of tokens.

use burn::tensor::DType;
use burn::tensor::backend::Backend;

use super::attention::{Sizes, attended};
use super::{allowed, assert_near, each_type, numbers, tensor};
use crate::cube::calls::{KernelAttention, attend};

/// Attention of a few queries to many keys and of many to a few, with heads as views of rows of
/// tokens, shared heads, odd widths, and keys or queries of one row for all.
pub(super) fn attention_of_views_is_its_definition<B: Backend>() {
    for sizes in [
        Sizes::of([3, 2, 1, 1, 70, 64, 64]),
        Sizes::of([3, 4, 2, 5, 130, 16, 24]),
        Sizes::of([3, 2, 2, 40, 6, 16, 8]),
        Sizes::of([3, 4, 2, 300, 32, 20, 7]),
        Sizes::of([3, 8, 8, 17, 1, 64, 64]),
    ] {
        each_type::<B>(|dtype| {
            for (one_query, one_key, key_type) in [
                (false, false, dtype),
                (true, false, dtype),
                (false, true, DType::F16),
            ] {
                if !B::supports_dtype(&B::Device::default(), key_type) {
                    continue;
                }
                let case = format!("{sizes:?} {dtype:?} {one_query} {one_key} {key_type:?}");
                // Values of a batch of one are repeated for the reference.
                let of = |heads, length, width, one: bool, seed, dtype| {
                    let rows = if one { 1 } else { sizes.batch };
                    let values = numbers(rows * heads * length * width, seed);
                    let x = tensor::<B, 4>(&values, [rows, heads, length, width], dtype);
                    let x = (x.swap_dims(1, 2) + 0.0).swap_dims(1, 2);
                    let x = x.expand([sizes.batch, heads, length, width]);
                    (values.repeat(sizes.batch / rows), x)
                };
                let Sizes {
                    heads,
                    kv_heads,
                    queries,
                    keys,
                    width,
                    value_width,
                    ..
                } = sizes;
                let (query, query_view) = of(heads, queries, width, one_query, 1, dtype);
                let (key, key_view) = of(kv_heads, keys, width, one_key, 2, key_type);
                let (value, value_view) = of(kv_heads, keys, value_width, one_key, 3, key_type);
                let found = attend(KernelAttention {
                    query: &query_view,
                    key: &key_view,
                    value: &value_view,
                    mask: None,
                    positions: None,
                    causal: false,
                    scale: (width as f64).powf(-0.5),
                });
                let expected = attended(sizes, [&query, &key, &value], |_| false);
                let found = found.expect("a kernel");
                assert_near(&case, found.clone(), &expected, allowed(dtype));
                // Rows of tokens again.
                let [batch, heads, queries, value_width] = found.dims();
                let rows = found.swap_dims(1, 2);
                let rows = rows.reshape([batch, queries, heads * value_width]);
                let again = rows.reshape([batch, queries, heads, value_width]);
                let again = again.swap_dims(1, 2);
                assert_near(&case, again, &expected, allowed(dtype));
            }
        });
    }
}
