//! Attention on the GPU against the same on the processor, in every shape that a part of the model has.
#![cfg(all(feature = "flex", any(feature = "vulkan", feature = "cuda")))]

use anyref_weights::ops::{AttentionInput, RelativePosition, attention};
use anyref_weights::testing::random;
use burn::backend::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Tensor, TensorData};

/// Sizes and what else there is to an attention.
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
    let [batch, heads, kv_heads, queries, keys, width] = case.sizes;
    let device = B::Device::default();
    let input = AttentionInput::<B>::new(
        random([batch, heads, queries, width], 1, &device) * 3.0,
        random([batch, kv_heads, keys, width], 2, &device) * 3.0,
        random([batch, kv_heads, keys, width], 3, &device),
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

#[cfg(feature = "vulkan")]
#[test]
fn vulkan_attends_as_the_processor_does() {
    attends_as_the_processor_does::<burn::backend::Vulkan>(1e-5);
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_attends_as_the_processor_does() {
    // Tensor cores round what they multiply to tf32.
    attends_as_the_processor_does::<burn::backend::Cuda>(5e-3);
}

fn attends_as_the_processor_does<B: Backend>(most: f32) {
    for case in [
        PLAIN,
        // SAM: a window whose grid is not square, and whose positions are relative.
        Case {
            sizes: [2, 3, 3, 20, 20, 16],
            grid_rows: Some(4),
            ..PLAIN
        },
        // LLaMA: keys that several heads share, padding on the left, and earlier keys of a cache.
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
        // The mask decoder: few queries and many keys, and the other way round.
        Case {
            sizes: [1, 2, 2, 6, 144, 16],
            ..PLAIN
        },
        Case {
            sizes: [1, 2, 2, 144, 6, 16],
            ..PLAIN
        },
    ] {
        let (found, expected) = (run::<B>(case), run::<Flex>(case));
        let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let difference = difference.fold(0.0, f32::max);
        println!("{case:?}: {difference:.1e}");
        assert!(difference < most, "{case:?}: {difference}");
    }
}
