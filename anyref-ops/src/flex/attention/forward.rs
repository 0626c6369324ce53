//! Attention, forward: tiles of queries against blocks of keys, with a running softmax.

use super::super::buffer::SMALL;
use super::super::product::{PAD, padded};
use super::super::simd::{Kernel, Simd, dispatch};
use super::direct::{DIRECT, Direct};
use super::held::{Held, Narrow};
use super::outputs::Outputs;
use super::packed::{NextBlock, OneBlock, Packed};
use super::problem::{Extent, Output, Problem, tiles};
use super::products::{Products, Sizes};
use super::scores::{ALL_MASKED, RowBias, softmax_row};
use super::views::{CopyScaled, QUERIES, STATISTICS, Views, score_stride};
use burn_flex::FlexTensor;
use core::ops::Range;
use rayon::prelude::*;

/// Buffers of a task.
struct Scratch {
    query: Vec<f32>,
    scores: Vec<f32>,
    output: Vec<f32>,
    highest: Vec<f32>,
    total: Vec<f32>,
    /// Biases of the columns of relative positions of a query, with room for a vector more.
    columns: Vec<f32>,
}

impl Scratch {
    fn new<R>(views: &Views<'_, R>) -> Self {
        let Extent {
            queries,
            head_dim,
            value_dim,
            ..
        } = views.extent;
        let tile = queries.min(QUERIES);
        Self {
            query: vec![0.0; tile * head_dim],
            scores: vec![0.0; tile * score_stride(views.block)],
            output: vec![0.0; tile * padded(value_dim)],
            highest: vec![0.0; tile],
            total: vec![0.0; tile],
            columns: vec![0.0; padded(views.columns) + PAD],
        }
    }
}

/// A tile of queries of a head.
struct Tile {
    b: usize,
    h: usize,
    queries: Range<usize>,
}

/// Writes the biases of relative positions as the scores of a tile, which products are added to.
struct PositionTile<'a, R> {
    views: &'a Views<'a, R>,
    tile: &'a Tile,
    block: &'a Range<usize>,
    scratch: &'a mut Scratch,
}

impl<R> Kernel for PositionTile<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            views,
            tile,
            block,
            scratch,
        } = self;
        let Some([height, width]) = &views.position else {
            return;
        };
        let Tile { b, h, ref queries } = *tile;
        let stride = score_stride(views.block);
        let rows = scratch.scores.chunks_exact_mut(stride);
        for (scores, i) in rows.zip(queries.clone()) {
            let heights = &height.row(b, h, i)[views.grid_rows(block)];
            let widths = width.row(b, h, i);
            scratch.columns[..widths.len()].copy_from_slice(widths);
            let columns = &scratch.columns[..padded(widths.len())];
            // A vector that reaches beyond its row is overwritten by the next one.
            assert!(heights.len() * widths.len() + PAD <= stride);
            for (row, &height) in heights.iter().enumerate() {
                let first = row * widths.len();
                for column in (0..widths.len()).step_by(S::LANES) {
                    // SAFETY: both are within bounds by a vector.
                    unsafe {
                        let bias = S::load(columns.as_ptr().add(column));
                        let bias = S::add(S::splat(height), bias);
                        S::store(scores.as_mut_ptr().add(first + column), bias);
                    }
                }
            }
        }
    }
}

/// The softmax of a tile of scores against a block of keys, which have their biases of relative
/// positions.
struct SoftmaxTile<'a, R> {
    views: &'a Views<'a, R>,
    tile: &'a Tile,
    block: &'a Range<usize>,
    first: bool,
    scratch: &'a mut Scratch,
}

impl<R> Kernel for SoftmaxTile<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            views,
            tile,
            block,
            first,
            scratch,
        } = self;
        let Tile { b, h, ref queries } = *tile;
        let stride = score_stride(views.block);
        let width = padded(views.extent.value_dim);
        for (r, i) in queries.clone().enumerate() {
            let earlier = softmax_row::<S>(
                &mut scratch.scores[r * stride..][..padded(block.len())],
                &RowBias {
                    position: None,
                    ..views.bias(b, h, i, block)
                },
                &mut scratch.highest[r],
                &mut scratch.total[r],
            );
            if !first && earlier != 1.0 {
                for x in &mut scratch.output[r * width..][..width] {
                    *x *= earlier;
                }
            }
        }
    }
}

/// Computes the weighted values, maxima and sums of a tile against the first `seen` keys, in the
/// scratch.
fn run_tile<R>(
    views: &Views<'_, R>,
    products: &mut impl Products,
    tile: &Tile,
    seen: usize,
    scratch: &mut Scratch,
) {
    let Extent {
        keys,
        head_dim,
        value_dim,
        ..
    } = views.extent;
    let queries = &tile.queries;
    let rows = queries.len();
    let stride = score_stride(views.block);
    scratch.highest.fill(f32::NEG_INFINITY);
    scratch.total.fill(0.0);
    for (index, block) in tiles(keys, views.block).enumerate() {
        if block.start >= seen {
            break;
        }
        products.prepare(index, &block);
        let biased = views.position.is_some();
        if biased {
            dispatch(PositionTile {
                views,
                tile,
                block: &block,
                scratch,
            });
        }
        let sizes = Sizes {
            index,
            rows,
            keys: block.len(),
            width: head_dim,
            stride,
            accumulate: biased,
        };
        products.scores(sizes, &scratch.query, &mut scratch.scores);
        dispatch(SoftmaxTile {
            views,
            tile,
            block: &block,
            first: index == 0,
            scratch,
        });
        let sizes = Sizes {
            width: value_dim,
            accumulate: index > 0,
            ..sizes
        };
        products.mixed(sizes, &scratch.scores, &mut scratch.output);
    }
}

fn forward_tile<R>(
    views: &Views<'_, R>,
    products: &mut impl Products,
    tile: &Tile,
    scratch: &mut Scratch,
    outputs: &Outputs<'_>,
) {
    let Tile { b, h, ref queries } = *tile;
    let keys = views.extent.keys;
    dispatch(CopyScaled {
        rows: &views.query,
        at: (b, h),
        range: queries,
        scale: views.scale,
        out: &mut scratch.query,
    });
    let head_dim = views.extent.head_dim;
    products.take(&scratch.query[..queries.len() * head_dim], head_dim);
    let seen = views.seen(queries);
    run_tile(views, products, tile, seen, scratch);
    // A query that sees nothing attends to all keys alike, those of the skipped blocks too.
    if seen < keys
        && scratch.highest[..queries.len()]
            .iter()
            .any(|&x| x < ALL_MASKED)
    {
        run_tile(views, products, tile, keys, scratch);
    }
    dispatch(Finish {
        tile,
        scratch,
        outputs,
    });
}

/// Divides a tile by its sums and writes it out.
struct Finish<'a> {
    tile: &'a Tile,
    scratch: &'a Scratch,
    outputs: &'a Outputs<'a>,
}

impl Kernel for Finish<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            tile,
            scratch,
            outputs,
        } = self;
        let Tile { b, h, ref queries } = *tile;
        for (r, i) in queries.clone().enumerate() {
            let inverse = 1.0 / scratch.total[r];
            // SAFETY: each row belongs to one tile.
            let (out, statistics) =
                unsafe { (outputs.output.row(b, h, i), outputs.statistics.row(b, h, i)) };
            let row = &scratch.output[r * padded(out.len())..];
            for (out, &x) in out.iter_mut().zip(row) {
                *out = x * inverse;
            }
            statistics.copy_from_slice(&[scratch.highest[r], inverse]);
        }
    }
}

/// The output and, for each query, [`STATISTICS`].
pub(super) fn forward(problem: &Problem) -> (FlexTensor, FlexTensor) {
    let views = Views::new(problem);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = problem.options.rounded;
    #[cfg(target_arch = "x86_64")]
    if problem.options.rounded && super::super::linear::bf16_dot::are_multiplied() {
        let views = views.in_even_blocks();
        return written(&views, &problem.query, |outputs| {
            if !few(&views, outputs) {
                in_pairs(&views, outputs);
            }
        });
    }
    written(&views, &problem.query, |outputs| {
        if !few(&views, outputs) {
            packed(&views, outputs);
        }
    })
}

/// Attends to heads whose products are rounded to bf16.
#[cfg(target_arch = "x86_64")]
fn in_pairs(views: &Views<'_>, outputs: &Outputs<'_>) {
    let extent = views.extent;
    let tiles_of_head = extent.queries.div_ceil(QUERIES);
    let scratch = || Scratch::new(views);
    super::pairs::each_tile(views, tiles_of_head, scratch, |products, scratch, index| {
        forward_tile(views, products, &tile(extent, index), scratch, outputs);
    });
}

/// The output for keys and values that are narrower than f32, of which each thread widens one block
/// at a time.
pub(super) fn forward_narrow<R: Narrow>(views: &Views<'_, R>, query: &FlexTensor) -> FlexTensor {
    let (output, _) = written(views, query, |outputs| {
        if !few(views, outputs) {
            block_by_block(views, outputs);
        }
    });
    output
}

/// Output and statistics that `write` writes, laid out as the query is.
fn written<R>(
    views: &Views<'_, R>,
    query: &FlexTensor,
    write: impl FnOnce(&Outputs<'_>),
) -> (FlexTensor, FlexTensor) {
    let Extent {
        batch,
        heads,
        queries,
        value_dim,
        ..
    } = views.extent;
    let mut output = Output::new([batch, heads, queries, value_dim], query);
    let mut statistics = Output::new([batch, heads, queries, STATISTICS], query);
    write(&Outputs {
        output: output.writer(),
        statistics: statistics.writer(),
    });
    (output.into_tensor(), statistics.into_tensor())
}

/// Attends with keys and values in place where queries are few; `false` where they are not.
fn few<R: Held>(views: &Views<'_, R>, outputs: &Outputs<'_>) -> bool {
    let Extent {
        batch,
        heads,
        queries,
        keys,
        head_dim,
        ..
    } = views.extent;
    if queries > DIRECT {
        return false;
    }
    let scores = || vec![0.0; padded(keys)];
    let one_head = |scores: &mut Vec<f32>, head: usize| {
        let (b, h) = (head / heads, head % heads);
        (0..queries).for_each(|i| {
            dispatch(Direct {
                views,
                at: (b, h, i),
                scores,
                outputs,
            });
        });
    };
    if batch * heads * queries * keys * head_dim <= 4 * SMALL {
        let mut scores = scores();
        (0..batch * heads).for_each(|head| one_head(&mut scores, head));
    } else {
        (0..batch * heads)
            .into_par_iter()
            .for_each_init(scores, one_head);
    }
    true
}

/// The tile of some queries of all heads, in order of heads.
fn tile(extent: Extent, index: usize) -> Tile {
    let Extent { heads, queries, .. } = extent;
    let tiles_of_head = queries.div_ceil(QUERIES);
    let (head, index) = (index / tiles_of_head, index % tiles_of_head);
    let start = index * QUERIES;
    Tile {
        b: head / heads,
        h: head % heads,
        queries: start..(start + QUERIES).min(queries),
    }
}

/// Attends to packed heads.
fn packed(views: &Views<'_>, outputs: &Outputs<'_>) {
    let extent = views.extent;
    let Extent {
        batch,
        heads,
        kv_heads,
        queries,
        ..
    } = extent;
    let group = extent.group();
    let pairs = batch * kv_heads;
    let tiles_of_head = queries.div_ceil(QUERIES);
    if group * tiles_of_head == 1 {
        (0..pairs).into_par_iter().for_each_init(
            || (NextBlock::new(views), Scratch::new(views)),
            |(blocks, scratch), pair| {
                let tile = tile(extent, pair);
                blocks.at = (tile.b, tile.h);
                forward_tile(views, blocks, &tile, scratch, outputs);
            },
        );
    } else if pairs >= 4 * rayon::current_num_threads() {
        // Enough heads: each is packed where it is used.
        (0..pairs).into_par_iter().for_each_init(
            || (Packed::new(views), Scratch::new(views)),
            |(packed, scratch), pair| {
                let (b, kv_head) = (pair / kv_heads, pair % kv_heads);
                packed.fill(views, b, kv_head);
                for h in kv_head * group..(kv_head + 1) * group {
                    for queries in tiles(queries, QUERIES) {
                        let tile = Tile { b, h, queries };
                        forward_tile(views, &mut &*packed, &tile, scratch, outputs);
                    }
                }
            },
        );
    } else {
        let packed: Vec<Packed> = (0..pairs)
            .into_par_iter()
            .map(|pair| {
                let mut packed = Packed::new(views);
                packed.fill(views, pair / kv_heads, pair % kv_heads);
                packed
            })
            .collect();
        (0..batch * heads * tiles_of_head)
            .into_par_iter()
            .for_each_init(
                || Scratch::new(views),
                |scratch, index| {
                    let tile = tile(extent, index);
                    let packed = &packed[tile.b * kv_heads + tile.h / group];
                    forward_tile(views, &mut &*packed, &tile, scratch, outputs);
                },
            );
    }
}

/// Attends to blocks that are widened and packed for each tile of queries.
fn block_by_block<R: Narrow>(views: &Views<'_, R>, outputs: &Outputs<'_>) {
    let extent = views.extent;
    let tiles = extent.batch * extent.heads * extent.queries.div_ceil(QUERIES);
    (0..tiles).into_par_iter().for_each_init(
        || (OneBlock::new(views), Scratch::new(views)),
        |(blocks, scratch), index| {
            let tile = tile(extent, index);
            blocks.at = (tile.b, tile.h / extent.group());
            forward_tile(views, blocks, &tile, scratch, outputs);
        },
    );
}
