//! Attention in one launch compared with its definition in f64.

use burn::tensor::backend::Backend;
use burn::tensor::{Bool, DType, Tensor, TensorData};

use super::{allowed, assert_near, each_type, numbers, tensor};
use crate::blocks::random::random_bytes;
use crate::cube::calls::{KernelAttention, attend, position_products};

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) width: usize,
    pub(super) value_width: usize,
}

/// Attention of f64, with the mask of a query and a key of a head of a row.
pub(super) fn attended(
    sizes: Sizes,
    [query, key, value]: [&[f64]; 3],
    is_masked: impl Fn([usize; 4]) -> bool,
) -> Vec<f64> {
    let mut output = Vec::new();
    for batch in 0..sizes.batch {
        for head in 0..sizes.heads {
            let kv = batch * sizes.kv_heads + head * sizes.kv_heads / sizes.heads;
            for i in 0..sizes.queries {
                let row = (batch * sizes.heads + head) * sizes.queries + i;
                let query = &query[row * sizes.width..][..sizes.width];
                let scores = (0..sizes.keys).map(|j| {
                    let key = &key[(kv * sizes.keys + j) * sizes.width..][..sizes.width];
                    let dot: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                    match is_masked([batch, head, i, j]) {
                        true => -1e30,
                        false => dot / (sizes.width as f64).sqrt(),
                    }
                });
                let scores: Vec<f64> = scores.collect();
                let top = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
                let total: f64 = weights.iter().sum();
                for component in 0..sizes.value_width {
                    let values = (0..sizes.keys).map(|j| {
                        weights[j] * value[(kv * sizes.keys + j) * sizes.value_width + component]
                    });
                    output.push(values.sum::<f64>() / total);
                }
            }
        }
    }
    output
}

impl Sizes {
    pub(super) fn of(
        [batch, heads, kv_heads, queries, keys, width, value_width]: [usize; 7],
    ) -> Self {
        Self {
            batch,
            heads,
            kv_heads,
            queries,
            keys,
            width,
            value_width,
        }
    }

    pub(super) fn shapes(self) -> [[usize; 4]; 3] {
        let Self {
            batch,
            heads,
            kv_heads,
            queries,
            keys,
            ..
        } = self;
        [
            [batch, heads, queries, self.width],
            [batch, kv_heads, keys, self.width],
            [batch, kv_heads, keys, self.value_width],
        ]
    }

    /// Numbers of queries, keys and values.
    pub(super) fn numbers(self) -> [Vec<f64>; 3] {
        let mut seed = 0;
        self.shapes().map(|shape| {
            seed += 1;
            numbers(shape.iter().product(), seed)
        })
    }
}

/// Batches, heads and queries of a mask; whether later keys are hidden; the type of the keys, that
/// of the queries if `None`.
type Case = (Option<[usize; 3]>, bool, Option<DType>);

/// Compares attention with its definition.
fn attends_as_defined<B: Backend>(sizes: Sizes, dtype: DType, cases: &[Case]) {
    let [query_shape, key_shape, value_shape] = sizes.shapes();
    let [query, key, value] = sizes.numbers();
    for &(mask, causal, key_type) in cases {
        let key_type = key_type.unwrap_or(dtype);
        if !B::supports_dtype(&B::Device::default(), key_type) {
            continue;
        }
        let case = format!("{sizes:?} {dtype:?} {mask:?} {causal} {key_type:?}");
        let masked = mask.map(|[batch, heads, queries]| {
            let count = batch * heads * queries * sizes.keys;
            let bytes = random_bytes(count, 4);
            // All keys are masked for the last row of the mask.
            let masked = bytes.iter().enumerate();
            let masked = masked.map(|(i, &byte)| byte > 127 || i + sizes.keys >= count);
            ([batch, heads, queries], masked.collect::<Vec<bool>>())
        });
        let expected = attended(sizes, [&query, &key, &value], |[batch, head, i, j]| {
            let later = causal && j + sizes.queries > sizes.keys + i;
            let of_mask = masked.as_ref();
            later
                || of_mask.is_some_and(|([batches, heads, queries], masked)| {
                    let batch = batch.min(batches - 1);
                    let row = batch * heads + head.min(heads - 1);
                    masked[(row * queries + i.min(queries - 1)) * sizes.keys + j]
                })
        });
        let mask = masked.map(|([batch, heads, queries], masked)| {
            let data = TensorData::new(masked, [batch, heads, queries, sizes.keys]);
            Tensor::<B, 4, Bool>::from_data(data, &Default::default())
        });
        let found = attend(KernelAttention {
            query: &tensor::<B, 4>(&query, query_shape, dtype),
            key: &tensor(&key, key_shape, key_type),
            value: &tensor(&value, value_shape, key_type),
            mask: mask.as_ref(),
            positions: None,
            causal,
            scale: (sizes.width as f64).powf(-0.5),
        });
        let found = found.expect("a kernel");
        assert_eq!(found.dtype(), dtype, "{case}");
        assert_near(&case, found, &expected, allowed(dtype));
    }
}

/// One key and several rounds of them, shared heads, odd widths, masks of every broadcast, causal
/// masks, queries that see nothing, and keys in half precision.
pub(super) fn few_queries_attend_as_defined<B: Backend>() {
    for sizes in [
        [1, 1, 1, 1, 1, 8, 8],
        [2, 4, 2, 1, 130, 64, 64],
        [1, 3, 1, 5, 300, 80, 80],
        [1, 2, 2, 16, 127, 20, 7],
        [2, 2, 2, 7, 3, 128, 128],
    ] {
        let sizes = Sizes::of(sizes);
        let cases = [
            (None, false, None),
            (None, true, None),
            (Some([1, 1, 1]), false, None),
            (Some([sizes.batch, 1, 1]), true, None),
            (Some([1, sizes.heads, sizes.queries]), false, None),
            (Some([sizes.batch, 1, 1]), true, Some(DType::F16)),
        ];
        each_type::<B>(|dtype| attends_as_defined::<B>(sizes, dtype, &cases));
    }
}

/// One tile and several, of queries and of keys, whole and not; every width of vectors, heads in
/// one part and several, values of another width; shared heads; more queries than keys.
pub(super) fn many_queries_attend_as_defined<B: Backend>() {
    let full = (None, false, None);
    let causal = (None, true, None);
    let narrow = (None, true, Some(DType::F16));
    let padded = |batch: usize| (Some([batch, 1, 1]), true, None);
    for (sizes, cases) in [
        // Image to token: few keys.
        ([2, 2, 2, 100, 7, 16, 16], vec![full, padded(2)]),
        // CLIP and InternViT; LLaMA's heads shared by four, over a cache and padding.
        ([1, 2, 2, 257, 257, 64, 64], vec![full, causal]),
        (
            [2, 4, 1, 33, 100, 128, 128],
            vec![causal, padded(2), narrow],
        ),
        // SAM ViT-H, and widths of every kind of vector.
        ([1, 2, 1, 70, 70, 80, 80], vec![full, causal]),
        (
            [1, 3, 3, 17, 197, 24, 24],
            vec![(Some([1, 3, 17]), false, None)],
        ),
        ([1, 1, 1, 40, 3, 7, 37], vec![causal, padded(1)]),
        ([1, 1, 1, 18, 65, 150, 66], vec![full]),
        // The widest.
        ([1, 2, 2, 35, 41, 256, 256], vec![causal]),
    ] {
        let sizes = Sizes::of(sizes);
        each_type::<B>(|dtype| attends_as_defined::<B>(sizes, dtype, &cases));
    }
}

/// Keys whose scores are larger the later they come, so that what was summed up before has to be
/// scaled down.
pub(super) fn larger_scores_follow<B: Backend>() {
    let sizes = Sizes::of([1, 2, 1, 70, 200, 64, 48]);
    let [query_shape, key_shape, value_shape] = sizes.shapes();
    let [query, mut key, value] = sizes.numbers();
    for (index, x) in key.iter_mut().enumerate() {
        let place = index / sizes.width % sizes.keys;
        *x *= f64::from(1 << (place / 48));
    }
    let expected = attended(sizes, [&query, &key, &value], |_| false);
    each_type::<B>(|dtype| {
        let found = attend(KernelAttention {
            query: &tensor::<B, 4>(&query, query_shape, dtype),
            key: &tensor(&key, key_shape, dtype),
            value: &tensor(&value, value_shape, dtype),
            mask: None,
            positions: None,
            causal: false,
            scale: (sizes.width as f64).powf(-0.5),
        });
        let case = format!("{dtype:?}");
        assert_near(&case, found.expect("a kernel"), &expected, allowed(dtype));
    });
}

/// Relative positions over grids, computed from their tables: SAM's window, one that is not square,
/// and one that is wider than a tile of keys.
pub(super) fn relative_positions_are_added<B: Backend>() {
    for (heads, [height, width], dim) in [
        (2, [14, 14], 64),
        (3, [5, 7], 80),
        (1, [3, 40], 24),
        (2, [2, 2], 6),
    ] {
        let tokens = height * width;
        let sizes = Sizes::of([2, heads, heads, tokens, tokens, dim, dim]);
        let [query_shape, ..] = sizes.shapes();
        let [query, key, value] = sizes.numbers();
        let small = |x: Vec<f64>| -> Vec<f64> { x.iter().map(|x| x / 16.0).collect() };
        let rows = small(numbers((2 * height - 1) * dim, 4));
        let columns = small(numbers((2 * width - 1) * dim, 5));
        let dot = |row: usize, table: &[f64], entry: usize| -> f64 {
            let query = &query[row * dim..][..dim];
            let entry = &table[entry * dim..][..dim];
            query.iter().zip(entry).map(|(q, t)| q * t).sum()
        };
        let mut by_row = Vec::new();
        let mut by_column = Vec::new();
        for row in 0..2 * heads * tokens {
            let (y, x) = (row % tokens / width, row % width);
            by_row.extend((0..height).map(|key| dot(row, &rows, y + height - 1 - key)));
            by_column.extend((0..width).map(|key| dot(row, &columns, x + width - 1 - key)));
        }
        let expected = positioned(sizes, [&query, &key, &value], [&by_row, &by_column]);
        each_type::<B>(|dtype| {
            let case = format!("{heads} {height}x{width} {dim} {dtype:?}");
            let query = tensor::<B, 4>(&query, query_shape, dtype);
            let tables = [
                &tensor(&rows, [2 * height - 1, dim], dtype),
                &tensor(&columns, [2 * width - 1, dim], dtype),
            ];
            let found = position_products(&query, tables, [height, width]);
            let [found_rows, found_columns] = found.expect("a kernel");
            assert_near(&case, found_rows.clone(), &by_row, allowed(dtype));
            assert_near(&case, found_columns.clone(), &by_column, allowed(dtype));
            let attended = attend(KernelAttention {
                query: &query,
                key: &tensor(&key, query_shape, dtype),
                value: &tensor(&value, query_shape, dtype),
                mask: None,
                positions: Some([&found_rows, &found_columns]),
                causal: false,
                scale: (dim as f64).powf(-0.5),
            });
            assert_near(
                &case,
                attended.expect("a kernel"),
                &expected,
                allowed(dtype),
            );
        });
    }
}

/// Attention of f64 with relative positions of each query to the rows and columns of keys.
fn positioned(
    sizes: Sizes,
    [query, key, value]: [&[f64]; 3],
    [by_row, by_column]: [&[f64]; 2],
) -> Vec<f64> {
    let tokens = sizes.keys;
    let of_query = sizes.batch * sizes.heads * sizes.queries;
    let (height, width) = (by_row.len() / of_query, by_column.len() / of_query);
    // Positions are products with further components of the queries, one-hot in the keys.
    let (dim, wider) = (sizes.width, sizes.width + height + width);
    let scale = (wider as f64 / dim as f64).sqrt();
    let mut queries = Vec::new();
    let mut keys = Vec::new();
    for row in 0..of_query {
        let scaled = query[row * dim..][..dim].iter().map(|x| x * scale);
        let positions = by_row[row * height..][..height].iter();
        let positions = positions.chain(&by_column[row * width..][..width]);
        queries.extend(scaled.chain(positions.map(|x| x * (wider as f64).sqrt())));
        let place = row % tokens;
        keys.extend_from_slice(&key[row * dim..][..dim]);
        keys.extend((0..height).map(|y| f64::from(u8::from(y == place / width))));
        keys.extend((0..width).map(|x| f64::from(u8::from(x == place % width))));
    }
    let wide = Sizes {
        width: wider,
        ..sizes
    };
    attended(wide, [&queries, &keys, value], |_| false)
}

/// Heads of tokens as they come out of a projection, one of three parts of a wider projection, and
/// one row for a whole batch; the output is then read in the order of tokens.
pub(super) fn views_are_read_as_they_lie<B: Backend>() {
    let sizes = Sizes::of([2, 3, 3, 50, 50, 24, 24]);
    let [shape, ..] = sizes.shapes();
    let [query, key, value] = sizes.numbers();
    let [batch, heads, tokens, dim] = shape;
    each_type::<B>(|dtype| {
        let case = format!("{dtype:?}");
        let by_token = |x: &[f64]| {
            let x = tensor::<B, 4>(x, shape, dtype).swap_dims(1, 2) + 0.0;
            x.reshape([batch, tokens, heads * dim])
        };
        let together = Tensor::cat([&query, &key, &value].map(|x| by_token(x)).into(), 2);
        let part = |index: usize| {
            let part = together.clone().narrow(2, index * heads * dim, heads * dim);
            part.reshape([batch, tokens, heads, dim]).swap_dims(1, 2)
        };
        let found = attend(KernelAttention {
            query: &part(0),
            key: &part(1),
            value: &part(2),
            mask: None,
            positions: None,
            causal: false,
            scale: (dim as f64).powf(-0.5),
        });
        let expected = attended(sizes, [&query, &key, &value], |_| false);
        let found = found.expect("a kernel").swap_dims(1, 2);
        let found = found.reshape([batch, tokens, heads * dim]) * 1.0;
        let found = found.reshape([batch, tokens, heads, dim]).swap_dims(1, 2);
        assert_near(&case, found, &expected, allowed(dtype));

        // The first row's queries for both rows of keys.
        let half = heads * tokens * dim;
        let first = tensor::<B, 4>(&query[..half], [1, heads, tokens, dim], dtype);
        let found = attend(KernelAttention {
            query: &first.expand(shape),
            key: &tensor(&key, shape, dtype),
            value: &tensor(&value, shape, dtype),
            mask: None,
            positions: None,
            causal: true,
            scale: (dim as f64).powf(-0.5),
        });
        let twice = [&query[..half], &query[..half]].concat();
        let expected = attended(sizes, [&twice, &key, &value], |[_, _, i, j]| j > i);
        assert_near(&case, found.expect("a kernel"), &expected, allowed(dtype));
    });
}
