//! Products of rows that are normalised, activated and given positions first.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};

use super::{allowed, assert_near, each_type, normed, numbers, product, tensor};
use crate::cube::calls::{DenseProduct, KernelRows, NormParameters, row_products_within};
use crate::cube::row_products::{Activation, Form, Part};

/// Addend of the variance.
const EPSILON: f64 = 1e-3;

/// Small numbers, so that sums of products stay in the range of each type.
fn small(count: usize, seed: u64) -> Vec<f64> {
    numbers(count, seed).iter().map(|x| x / 32.0).collect()
}

/// Error function, by its series up to 4, within 1e-8.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / core::f64::consts::PI.sqrt()
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / core::f64::consts::SQRT_2))
}

fn activated(after: Activation, x: f64) -> f64 {
    match after {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Gelu => gelu(x),
    }
}

/// Scale and shift of a norm.
struct Norm {
    gamma: Vec<f64>,
    beta: Vec<f64>,
}

impl Norm {
    fn new(width: usize) -> Self {
        Self {
            gamma: numbers(width, 21),
            beta: numbers(width, 22),
        }
    }

    fn of(&self, x: &[f64]) -> Vec<f64> {
        normed(x, &self.gamma, Some(&self.beta), EPSILON)
    }

    fn parameters<B: Backend>(&self, dtype: DType) -> NormParameters<B> {
        let width = self.gamma.len();
        NormParameters {
            gamma: tensor(&self.gamma, [width], dtype),
            beta: Some(tensor(&self.beta, [width], dtype)),
            epsilon: EPSILON,
        }
    }
}

/// Weights and biases of each part.
fn dense<B: Backend>(
    weights: &[(Vec<f64>, Vec<f64>)],
    inputs: usize,
    biased: bool,
    stored: bool,
    [dtype, weight_type]: [DType; 2],
) -> Vec<DenseProduct<B>> {
    let of = |(weight, bias): &(Vec<f64>, Vec<f64>)| {
        let outputs = weight.len() / inputs;
        let weight = tensor::<B, 2>(weight, [inputs, outputs], weight_type);
        DenseProduct {
            weight: match stored {
                true => crate::as_stored(weight),
                false => weight,
            },
            bias: biased.then(|| tensor(bias, [outputs], dtype)),
        }
    };
    weights.iter().map(of).collect()
}

/// One row, a few and many, widths and outputs that are and are not whole vectors and tiles, with a
/// norm, positions that repeat, an activation, and a summand that repeats; in one launch, and apart
/// for devices with few bindings.
pub(super) fn products_of_prepared_rows_are_their_definition<B: Backend>() {
    for (rows, width, outputs) in [
        (1, 7, vec![3, 1, 2]),
        (6, 256, vec![33, 128]),
        (26, 24, vec![9, 4, 70, 1, 5]),
        (130, 36, vec![65, 3, 128]),
        (200, 64, vec![7]),
    ] {
        let norm = Norm::new(width);
        let x = numbers(rows * width, 1);
        let period = if rows % 2 == 0 { rows / 2 } else { rows };
        let places = numbers(period * width, 2);
        let summand = numbers(period * outputs[0], 3);
        let weights = outputs
            .iter()
            .zip(4..)
            .map(|(&outputs, seed)| (small(width * outputs, seed), numbers(outputs, seed + 50)));
        let weights: Vec<_> = weights.collect();
        each_type::<B>(|dtype| {
            for (is_normed, is_placed, is_added, after, bindings, stored, weight_type) in [
                (false, false, true, Activation::Identity, 8, true, dtype),
                (true, true, false, Activation::Identity, 64, true, dtype),
                (true, true, false, Activation::Relu, 8, false, dtype),
                (
                    false,
                    true,
                    false,
                    Activation::Identity,
                    7,
                    true,
                    DType::F16,
                ),
                (true, false, true, Activation::Relu, 64, false, DType::F16),
            ] {
                if !B::supports_dtype(&B::Device::default(), weight_type) {
                    continue;
                }
                let case = format!(
                    "{rows}x{width} {outputs:?} {dtype:?} {weight_type:?} {is_normed} \
                     {is_placed} {is_added} {after:?} {bindings} {stored}"
                );
                let weights = if is_added { &weights[..1] } else { &weights };
                // Every other part reads positions.
                let parts = outputs.iter().enumerate().map(|(index, &outputs)| Part {
                    outputs,
                    placed: is_placed && index % 2 == 0,
                    ..Part::default()
                });
                let parts: Vec<_> = parts.take(weights.len()).collect();
                let form = Form {
                    kept: is_normed,
                    after,
                    ..Form::new(&parts)
                };
                let parameters = norm.parameters(dtype);
                let biased = weight_type == dtype;
                let rows_of = |x: &[f64], width| tensor::<B, 2>(x, [x.len() / width, width], dtype);
                let found = row_products_within(
                    bindings,
                    form,
                    KernelRows {
                        x: &rows_of(&x, width),
                        norm: is_normed.then_some(&parameters),
                        places: is_placed.then(|| rows_of(&places, width)).as_ref(),
                        added: is_added.then(|| rows_of(&summand, outputs[0])).as_ref(),
                    },
                    dense(weights, width, biased, stored, [dtype, weight_type]),
                );
                let mut found = found.expect("a kernel").into_iter();
                let bare = if is_normed { norm.of(&x) } else { x.clone() };
                if is_normed {
                    let kept = found.next().expect("kept rows");
                    assert_near(&case, kept, &bare, allowed(dtype));
                }
                let placed = bare.iter().zip(places.iter().cycle());
                let placed: Vec<f64> = placed.map(|(x, place)| x + place).collect();
                for ((weight, bias), part) in weights.iter().zip(&parts) {
                    let x = if part.placed { &placed } else { &bare };
                    let bias = biased.then_some(&bias[..]);
                    let summand = summand.iter().cycle();
                    let expected = product(x, weight, bias, width);
                    let expected = expected
                        .iter()
                        .zip(summand)
                        .map(|(y, added)| activated(after, if is_added { y + added } else { *y }));
                    let expected: Vec<f64> = expected.collect();
                    let found = found.next().expect("a product");
                    assert_near(&case, found, &expected, allowed(dtype));
                }
                assert!(found.next().is_none(), "{case}");
            }
        });
    }
}

/// Layers of single tokens, joined for the next ones, and some of the outputs of the last.
pub(super) fn products_of_single_rows_of_groups_are_joined<B: Backend>() {
    let (width, hidden, group) = (40, 20, 5);
    let tokens = [3, 0, 4];
    for rows in [1, 9] {
        let norm = Norm::new(width);
        let x = numbers(rows * group * width, 1);
        let layers = |inputs: usize, outputs: usize, seed: u64| -> Vec<_> {
            let of = (seed..seed + 3).map(|seed| {
                let weight = small(inputs * outputs, seed);
                (weight, numbers(outputs, seed + 50))
            });
            of.collect()
        };
        let (first, second) = (layers(width, hidden, 4), layers(hidden, 11, 8));
        each_type::<B>(|dtype| {
            for bindings in [64, 8] {
                let case = format!("{rows} {dtype:?} {bindings}");
                let parts = [0, 1, 2].map(|index| Part {
                    outputs: hidden,
                    row: tokens[index],
                    slot: index,
                    ..Part::default()
                });
                let form = Form {
                    group,
                    slots: 3,
                    after: Activation::Relu,
                    ..Form::new(&parts)
                };
                let of = |x: &[f64], width| tensor::<B, 2>(x, [x.len() / width, width], dtype);
                let parameters = norm.parameters(dtype);
                let kernel_rows = |x, norm| KernelRows {
                    x,
                    norm,
                    places: None,
                    added: None,
                };
                let types = [dtype; 2];
                let x_rows = of(&x, width);
                let found = row_products_within(
                    bindings,
                    form,
                    kernel_rows(&x_rows, Some(&parameters)),
                    dense(&first, width, true, true, types),
                );
                let joined: Tensor<B, 2> = found.expect("a kernel").remove(0);
                let of_token = |index: usize| -> Vec<f64> {
                    let normed = norm.of(&x);
                    let groups = normed.chunks_exact(group * width);
                    let x = groups
                        .flat_map(|rows| rows[tokens[index] * width..][..width].iter().copied());
                    let (weight, bias) = &first[index];
                    let y = product(&x.collect::<Vec<_>>(), weight, Some(bias), width);
                    y.iter().map(|y| y.max(0.0)).collect()
                };
                let by_head = [0, 1, 2].map(of_token);
                let mut expected = Vec::new();
                for row in 0..rows {
                    for head in &by_head {
                        expected.extend_from_slice(&head[row * hidden..][..hidden]);
                    }
                }
                assert_near(&case, joined.clone(), &expected, allowed(dtype));

                // Outputs from the third on.
                let parts = [0, 1, 2].map(|index| Part {
                    outputs: 3 + index,
                    first: 2,
                    row: index,
                    ..Part::default()
                });
                let form = Form {
                    group: 3,
                    ..Form::new(&parts)
                };
                let hidden_rows = joined.reshape([rows * 3, hidden]);
                let found = row_products_within(
                    bindings,
                    form,
                    kernel_rows(&hidden_rows, None),
                    dense(&second, hidden, true, true, types),
                );
                let found = found.expect("a kernel").into_iter();
                for (index, found) in found.enumerate() {
                    let (weight, bias) = &second[index];
                    let whole = product(&by_head[index], weight, Some(bias), hidden);
                    let cut = whole.chunks_exact(11);
                    let cut: Vec<f64> = cut.flat_map(|y| y[2..5 + index].to_vec()).collect();
                    assert_near(&case, found, &cut, allowed(dtype));
                }
            }
        });
    }
}

/// Weights of transposed convolutions, whose columns are turns of each channel, after a norm and
/// GELU, with a summand and GELU behind them.
pub(super) fn doubled_rows_are_their_definition<B: Backend>() {
    for (rows, inputs, channels) in [(1, 4, 1), (6, 24, 10), (150, 64, 32)] {
        let norm = Norm::new(inputs);
        let x = numbers(rows * inputs, 1);
        let (weight, bias) = (small(inputs * channels * 4, 2), numbers(channels, 3));
        let period = if rows % 2 == 0 { rows / 2 } else { rows };
        let summand = numbers(period * channels * 4, 4);
        each_type::<B>(|dtype| {
            for (is_normed, bindings) in [(false, 64), (true, 64), (true, 6)] {
                let case = format!("{rows}x{inputs}x{channels} {dtype:?} {is_normed} {bindings}");
                let form = Form {
                    activated: is_normed,
                    after: if is_normed {
                        Activation::Gelu
                    } else {
                        Activation::Identity
                    },
                    turns: 4,
                    ..Form::new(&[Part {
                        outputs: 4 * channels,
                        ..Part::default()
                    }])
                };
                let of = |x: &[f64], width| tensor::<B, 2>(x, [x.len() / width, width], dtype);
                let parameters = norm.parameters(dtype);
                let found = row_products_within(
                    bindings,
                    form,
                    KernelRows {
                        x: &of(&x, inputs),
                        norm: is_normed.then_some(&parameters),
                        places: None,
                        added: Some(&of(&summand, 4 * channels)),
                    },
                    vec![DenseProduct {
                        weight: of(&weight, 4 * channels),
                        bias: Some(tensor(&bias, [channels], dtype)),
                    }],
                );
                let x: Vec<f64> = match is_normed {
                    true => norm.of(&x).into_iter().map(gelu).collect(),
                    false => x.clone(),
                };
                let whole = product(&x, &weight, None, inputs);
                let expected = (0..whole.len()).map(|place| {
                    let (row, column) = (place / (4 * channels), place % (4 * channels));
                    let (turn, channel) = (column / channels, column % channels);
                    let y = whole[row * 4 * channels + channel * 4 + turn] + bias[channel];
                    activated(form.after, y + summand[place % summand.len()])
                });
                let expected: Vec<f64> = expected.collect();
                let found = found.expect("a kernel").remove(0);
                assert_near(&case, found, &expected, allowed(dtype));
            }
        });
    }
}
