//! Operations on the GPU compared with the processor's, in every shape that a part of the model
//! uses.
#![cfg(all(
    feature = "flex",
    any(feature = "wgpu", feature = "vulkan", feature = "cuda")
))]

use anyref_ops::nn::{
    Head, LayerNorm2dConfig, LayerNormConfig, Linear, LinearConfig, RowLayer, RowLayers,
};
use anyref_ops::testing::{fill, random};
use anyref_ops::{self as ops, Angles, AttentionInput, RelativePosition, Upscaling, attention};
use burn::backend::Flex;
use burn::nn::conv::{ConvTranspose2d, ConvTranspose2dConfig};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, DType, Tensor, TensorData};

/// Sizes and options of an attention.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// Batch, heads, heads of keys, queries, keys and width of a head.
    sizes: [usize; 6],
    /// Rows of the grid of keys, for relative positions.
    grid_rows: Option<usize>,
    /// Keys of each batch row that are padding.
    padding: Option<[usize; 2]>,
    causal: bool,
}

const PLAIN: Case = Case {
    sizes: [2, 4, 4, 17, 17, 32],
    grid_rows: None,
    padding: None,
    causal: false,
};

fn run<B: Backend>(case: Case) -> Vec<f32> {
    run_as::<B>(case, DType::F32)
}

/// [`run`] with queries, keys and values of a type.
fn run_as<B: Backend>(case: Case, dtype: DType) -> Vec<f32> {
    let [batch, heads, kv_heads, queries, keys, width] = case.sizes;
    let device = B::Device::default();
    let input = AttentionInput::<B>::new(
        (random([batch, heads, queries, width], 1, &device) * 3.0).cast(dtype),
        (random([batch, kv_heads, keys, width], 2, &device) * 3.0).cast(dtype),
        random([batch, kv_heads, keys, width], 3, &device).cast(dtype),
    );
    let position = case.grid_rows.map(|rows| RelativePosition {
        height: random([batch, heads, queries, rows], 4, &device) * 2.0,
        width: random([batch, heads, queries, keys / rows], 5, &device) * 2.0,
    });
    let mask = case.padding.map(|padding| {
        let masked = padding
            .into_iter()
            .flat_map(|padding| (0..keys).map(move |key| key < padding));
        let data = TensorData::new(masked.collect::<Vec<_>>(), [batch, 1, 1, keys]);
        Tensor::<B, 4, Bool>::from_data(data, &device)
    });
    let output = attention(
        input
            .with_relative_position(position)
            .with_mask(mask)
            .with_causal(case.causal),
    );
    assert_eq!(output.dims(), [batch, heads, queries, width]);
    output.into_data().iter::<f32>().collect()
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_attends_as_the_processor_does() {
    attends_as_the_processor_does::<burn::backend::Wgpu>(1e-5);
}

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_attends_as_the_processor_does() {
    attends_as_the_processor_does::<burn::backend::Vulkan>(1e-5);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_attends_as_the_processor_does() {
    // Tensor cores round their operands to tf32.
    attends_as_the_processor_does::<burn::backend::Cuda>(5e-3);
}

fn attends_as_the_processor_does<B: Backend>(most: f32) {
    for case in [
        PLAIN,
        // SAM: a non-square window with relative positions.
        Case {
            sizes: [2, 3, 3, 20, 20, 16],
            grid_rows: Some(4),
            ..PLAIN
        },
        // SAM: heads that need padding.
        Case {
            sizes: [2, 3, 3, 20, 20, 80],
            grid_rows: Some(5),
            ..PLAIN
        },
        // CLIP
        Case {
            sizes: [1, 3, 3, 10, 10, 64],
            ..PLAIN
        },
        // LLaMA: keys shared by several heads, left padding, and earlier keys of a cache.
        Case {
            sizes: [2, 6, 2, 12, 12, 32],
            causal: true,
            ..PLAIN
        },
        Case {
            sizes: [2, 6, 2, 5, 23, 32],
            padding: Some([0, 7]),
            causal: true,
            ..PLAIN
        },
        Case {
            sizes: [2, 4, 1, 1, 40, 64],
            padding: Some([3, 0]),
            ..PLAIN
        },
        // Scores that exceed the limit, so that queries are computed in chunks.
        Case {
            sizes: [1, 4, 4, 4096, 4160, 16],
            causal: true,
            ..PLAIN
        },
        // Mask decoder: few queries and many keys, and vice versa.
        Case {
            sizes: [1, 2, 2, 6, 144, 16],
            ..PLAIN
        },
        Case {
            sizes: [1, 2, 2, 144, 6, 16],
            ..PLAIN
        },
    ] {
        let name = format!("{case:?}");
        assert_near(&name, &run::<B>(case), &run::<Flex>(case), most);
    }
}

/// Attention of enough queries for tensor cores, which a device may have for types of 16 bits.
#[cfg(feature = "cuda")]
#[test]
fn cuda_attends_in_half_precision() {
    type B = burn::backend::Cuda;
    for case in [
        Case {
            sizes: [2, 3, 3, 20, 20, 80],
            grid_rows: Some(5),
            ..PLAIN
        },
        Case {
            sizes: [2, 6, 2, 40, 70, 32],
            padding: Some([0, 7]),
            causal: true,
            ..PLAIN
        },
    ] {
        for (dtype, most) in [(DType::F16, 5e-3), (DType::BF16, 4e-2)] {
            if B::supports_dtype(&Default::default(), dtype) {
                let name = format!("{case:?} in {dtype:?}");
                assert_near(&name, &run_as::<B>(case, dtype), &run::<Flex>(case), most);
            }
        }
    }
}

/// Asserts that the greatest difference is below `most`; NaN fails.
fn assert_near(name: &str, found: &[f32], expected: &[f32], most: f32) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let greatest = differences.fold(0.0, |a: f32, b| if b > a || b.is_nan() { b } else { a });
    println!("{name}: {greatest:.1e}");
    assert!(greatest < most, "{name}: {greatest}");
}

/// Operations that take another form on a GPU than on the processor.
fn others<B: Backend>() -> Vec<(&'static str, Vec<f32>)> {
    let device = B::Device::default();
    let values = |x: Tensor<B, 4>| x.into_data().iter::<f32>().collect::<Vec<_>>();
    let heads = random::<B, 4>([2, 3, 5, 64], 1, &device);
    let angle = random::<B, 4>([1, 1, 5, 32], 2, &device) * 3.0;
    let angles = Angles::new(angle.clone().cos(), angle.sin());
    let turned = ops::rotary(heads.clone(), &angles);
    // The heads of a token are adjacent, as a linear layer leaves them.
    let apart = random::<B, 4>([2, 5, 3, 64], 6, &device).swap_dims(1, 2);
    let apart = ops::rotary(apart, &angles);
    let [gamma, beta] = [3, 4].map(|seed| random::<B, 1>([64], seed, &device));
    let normed = ops::layer_norm(heads.clone() + 100.0, gamma, beta, 1e-6);
    // Weights in file layout, for one row and for several.
    let stored = random::<B, 2>([96, 64], 5, &device).swap_dims(0, 1);
    let rows = ops::linear(heads.clone(), stored.clone(), None);
    let row = heads.clone().slice([0..1, 0..1, 0..1, 0..64]);
    let of_computed = random::<B, 2>([64, 96], 9, &device) * 2.0;
    let of_computed = ops::linear(row.clone(), ops::as_stored(of_computed), None);
    let row = ops::linear(row, stored, None);
    // One row, whose product is followed several times by an operation that could be fused with it.
    let one = random::<B, 4>([1, 1, 1, 128], 8, &device);
    let joined = (0..3).fold(one, |x, seed| {
        let weight = random::<B, 2>([128, 128], 10 + seed, &device).swap_dims(0, 1);
        let bias = random::<B, 1>([128], 20 + seed, &device);
        burn::tensor::activation::relu(ops::linear(x, weight, Some(bias)) * 0.2)
    });
    // A buffer that is written once while an earlier slice of it is in use, and once while none is.
    let buffer = ops::assign_rows(Tensor::zeros([2, 3, 8, 64], &device), 0, heads.clone());
    let before = buffer.clone().narrow(2, 0, 4);
    let buffer = ops::assign_rows(buffer, 3, heads.clone().narrow(2, 0, 2));
    let sum = before.sum_dim(2);
    let buffer = ops::assign_rows(buffer, 6, heads.clone().narrow(2, 1, 2));
    // Keys and values that are slices of buffers with spare capacity, for shared heads of a batch.
    let queries = random::<B, 4>([2, 6, 1, 64], 7, &device);
    let [keys, values_of] = [4, 5].map(|length| buffer.clone().narrow(2, 0, length));
    let attended = attention(AttentionInput::new(
        queries,
        keys,
        values_of.narrow(2, 0, 4),
    ));
    [
        ("rotary", turned),
        ("rotary of permuted heads", apart),
        ("layer norm", normed),
        ("linear", rows),
        ("linear of one row", row),
        ("linear of a computed weight", of_computed),
        ("linear of one row with more", joined),
        ("sum of earlier rows", sum),
        ("rows", buffer),
        ("attention to parts of buffers", attended),
    ]
    .map(|(name, x)| (name, values(x)))
    .into()
}

/// Operations of the mask decoder that take one launch on a GPU.
fn of_masks<B: Backend>() -> Vec<(&'static str, Vec<f32>)> {
    let device = B::Device::default();
    let (length, width) = (6, 64);
    let linear = |inputs, outputs, seed| -> Linear<B> {
        fill(LinearConfig::new(inputs, outputs).init(&device), seed, 0.2)
    };
    let norm = fill(LayerNormConfig::new(width).init::<B>(&device), 1, 1.0);
    let tokens = random::<B, 3>([2, length, width], 2, &device);
    let places = random::<B, 3>([1, length, width], 3, &device);
    let [q, k, v] = [64, 32, 40].map(|outputs| linear(width, outputs, outputs as u64));
    let read = RowLayers {
        x: tokens.clone(),
        norm: Some(&norm),
        places: Some(places.clone()),
        layers: vec![
            RowLayer::placed(&q),
            RowLayer::placed(&k),
            RowLayer::bare(&v),
        ],
        relu: true,
    };
    let read = read.forward();
    let mut outputs = vec![("normalised rows", read.rows)];
    let layers = ["of three layers", "second layer", "third layer"];
    outputs.extend(layers.into_iter().zip(read.outputs));
    outputs.push(("sum", q.forward_added(tokens.clone(), places)));

    let mlp = |seed| [linear(width, 48, seed), linear(48, 8, seed + 1)];
    let mlps = [mlp(10), mlp(20)];
    let heads = [(4, 0..8), (0, 2..5)].into_iter().zip(&mlps);
    let heads = heads.map(|((token, outputs), layers)| Head {
        token,
        layers,
        outputs,
    });
    let heads: Vec<_> = heads.collect();
    let found = ops::nn::heads(tokens, &norm, &heads).into_iter();
    let names = ["head", "part of a head"].into_iter();
    outputs.extend(names.zip(found.map(|output| output.unsqueeze())));

    let map = random::<B, 4>([2, width, 3, 5], 4, &device);
    let shared = random::<B, 4>([1, width, 1, 1], 5, &device);
    let cells = ops::cell_sum(map, shared.expand([1, width, 3, 5]));
    let halve = |inputs: usize, seed| -> ConvTranspose2d<B> {
        let conv = ConvTranspose2dConfig::new([inputs, inputs / 2], [2, 2]);
        fill(conv.with_stride([2, 2]).init(&device), seed, 0.3)
    };
    let of_halves = fill(LayerNorm2dConfig::new(width / 2).init::<B>(&device), 6, 1.0);
    let level = |rows, width, seed| random::<B, 2>([rows, width], seed, &device);
    let upscaling = Upscaling {
        first: &halve(width, 8),
        norm: &of_halves,
        second: &halve(width / 2, 9),
        fine: Some([level(15, 2 * width, 7), level(60, width, 13)]),
    };
    let weights = random::<B, 3>([2, 3, width / 4], 10, &device);
    let pixels = upscaling.pixels(cells.clone());
    let masks = upscaling.masks(cells.clone(), weights, [3, 5]);
    outputs.push(("masks", masks.flatten::<3>(0, 1)));
    outputs.push(("pixels", pixels));
    let parts = vec![cells, random([1, 2, width], 11, &device)];
    outputs.push(("joined", ops::joined_rows(parts, 2)));
    let matrix = random([2, 9], 12, &device);
    outputs.push(("grid", ops::grid_sinusoids(matrix, [3, 5], DType::F32)));
    let values = |x: Tensor<B, 3>| x.into_data().iter::<f32>().collect::<Vec<_>>();
    let outputs = outputs.into_iter();
    outputs.map(|(name, x)| (name, values(x))).collect()
}

fn computes_as_the_processor_does<B: Backend>(most: f32) {
    let all = |[first, second]: [Vec<(&'static str, Vec<f32>)>; 2]| first.into_iter().chain(second);
    let found = all([others::<B>(), of_masks::<B>()]);
    let expected = all([others::<Flex>(), of_masks::<Flex>()]);
    for ((name, found), (_, expected)) in found.zip(expected) {
        assert_near(name, &found, &expected, most);
    }
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_computes_as_the_processor_does() {
    computes_as_the_processor_does::<burn::backend::Wgpu>(1e-4);
}

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_computes_as_the_processor_does() {
    computes_as_the_processor_does::<burn::backend::Vulkan>(1e-4);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_computes_as_the_processor_does() {
    computes_as_the_processor_does::<burn::backend::Cuda>(2e-2);
}
