//! Linear layers over rows that are normalised and given their positions first.

use burn::tensor::{Tensor, backend::Backend};

use super::{LayerNorm, Linear};
use crate::add_shared;

/// Linear layer among several that read the same rows.
#[derive(Debug)]
pub struct RowLayer<'a, B: Backend> {
    /// Linear layer.
    pub layer: &'a Linear<B>,
    /// Applies the layer to the rows with their positions instead of the rows alone.
    pub placed: bool,
}

impl<B: Backend> Clone for RowLayer<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for RowLayer<'_, B> {}

impl<'a, B: Backend> RowLayer<'a, B> {
    /// Creates a layer that reads the rows alone.
    pub fn bare(layer: &'a Linear<B>) -> Self {
        let placed = false;
        Self { layer, placed }
    }

    /// Creates a layer that reads the sum of the rows and their positions.
    pub fn placed(layer: &'a Linear<B>) -> Self {
        let placed = true;
        Self { layer, placed }
    }
}

/// Rows and the layers that read them. Without gradients all layers with dense weights take one
/// launch on GPUs and one pass on the processor, together with the norm and the positions.
#[derive(Debug)]
pub struct RowLayers<'a, B: Backend> {
    /// Rows before the norm, `[batch, length, d]`.
    pub x: Tensor<B, 3>,
    /// Norm of the rows.
    pub norm: Option<&'a LayerNorm<B>>,
    /// Positions of the rows, `[batch or 1, length, d]`; absent where no layer reads them.
    pub places: Option<Tensor<B, 3>>,
    /// Layers, in the order of [`RowOutputs::outputs`].
    pub layers: Vec<RowLayer<'a, B>>,
    /// Applies ReLU to the outputs.
    pub relu: bool,
}

/// Outputs of [`RowLayers::forward`].
#[derive(Debug, Clone)]
pub struct RowOutputs<B: Backend> {
    /// Normalised rows without positions, `[batch, length, d]`.
    pub rows: Tensor<B, 3>,
    /// Outputs of the layers, `[batch, length, d_output]` each.
    pub outputs: Vec<Tensor<B, 3>>,
}

impl<'a, B: Backend> RowLayers<'a, B> {
    /// Creates the task of one layer over the rows `x`, without norm, positions and ReLU.
    pub fn of(x: Tensor<B, 3>, layer: &'a Linear<B>) -> Self {
        Self {
            x,
            norm: None,
            places: None,
            layers: vec![RowLayer::bare(layer)],
            relu: false,
        }
    }

    /// Applies the norm and the only layer.
    ///
    /// # Panics
    /// When there is another number of layers.
    pub fn forward_one(self) -> Tensor<B, 3> {
        let [output] = self.forward().outputs.try_into().expect("one layer");
        output
    }

    /// Applies the norm and the layers.
    ///
    /// # Panics
    /// When a layer reads positions that are absent.
    pub fn forward(mut self) -> RowOutputs<B> {
        if !self.layers.iter().any(|layer| layer.placed) {
            self.places = None;
        }
        #[cfg(feature = "cube")]
        if let Some(outputs) = in_one_launch::of_layers(&self) {
            return outputs;
        }
        #[cfg(feature = "flex")]
        if let Some(outputs) = in_parts::of_layers(&self) {
            return outputs;
        }
        self.composed()
    }

    fn composed(self) -> RowOutputs<B> {
        let (rows, placed) = match (self.norm, self.places) {
            (Some(norm), Some(places)) => {
                let [rows, placed] = norm.forward_placed(self.x, None, places);
                (rows, Some(placed))
            }
            (Some(norm), None) => (norm.forward(self.x), None),
            (None, Some(places)) => {
                let placed = add_shared(self.x.clone(), places);
                (self.x, Some(placed))
            }
            (None, None) => (self.x, None),
        };
        if let ([first, second, third], None, false) = (&self.layers[..], &placed, self.relu) {
            let layers = [first.layer, second.layer, third.layer];
            let outputs = Linear::forward_each(layers, rows.clone()).into();
            return RowOutputs { rows, outputs };
        }
        let outputs = self.layers.iter().map(
            |RowLayer {
                 layer,
                 placed: reads,
             }| {
                let x = match reads {
                    true => placed.clone().expect("the rows have positions"),
                    false => rows.clone(),
                };
                match self.relu {
                    true => layer.forward_relu(x),
                    false => layer.forward(x),
                }
            },
        );
        let outputs = outputs.collect();
        RowOutputs { rows, outputs }
    }
}

impl<B: Backend> Linear<B> {
    /// Computes `y + added`. Without gradients a dense weight takes one launch on GPUs, and one
    /// pass on the processor.
    ///
    /// # Shapes
    /// - x: `[batch, length, d_input]`
    /// - added: `[batch or 1, length, d_output]`
    /// - output: `[batch, length, d_output]`
    pub fn forward_added(&self, x: Tensor<B, 3>, added: Tensor<B, 3>) -> Tensor<B, 3> {
        #[cfg(feature = "cube")]
        if let Some(output) = in_one_launch::of_sum(self, &x, &added) {
            return output;
        }
        #[cfg(feature = "flex")]
        if let Some(output) = in_parts::of_sum(self, &x, &added) {
            return output;
        }
        add_shared(self.forward(x), added)
    }
}

/// All rows of a batch, `[batch * length, d]`.
#[cfg(any(feature = "cube", feature = "flex"))]
fn flat<B: Backend>(x: &Tensor<B, 3>) -> Tensor<B, 2> {
    x.clone().flatten(0, 1)
}

/// Rows of a batch again.
#[cfg(any(feature = "cube", feature = "flex"))]
fn shaped<B: Backend>(x: Tensor<B, 2>, [batch, length, _]: [usize; 3]) -> Tensor<B, 3> {
    let [_, width] = x.dims();
    x.reshape([batch, length, width])
}

/// Returns whether rows of a batch or of one element serve a whole batch.
#[cfg(any(feature = "cube", feature = "flex"))]
fn repeats<B: Backend>(x: &Tensor<B, 3>, [batch, length, _]: [usize; 3]) -> bool {
    let [of, rows, _] = x.dims();
    rows == length && (of == 1 || of == batch)
}

#[cfg(feature = "cube")]
mod in_one_launch {
    use super::{Backend, Linear, RowLayers, RowOutputs, Tensor, flat, repeats, shaped};
    use crate::cube::{Activation, Form, KernelRows, MOST_PRODUCTS, Part, row_products};

    pub(super) fn of_layers<B: Backend>(input: &RowLayers<'_, B>) -> Option<RowOutputs<B>> {
        let shape = input.x.dims();
        let places = input.places.as_ref();
        if input.layers.len() > MOST_PRODUCTS || !places.is_none_or(|x| repeats(x, shape)) {
            return None;
        }
        let products = input.layers.iter().map(|part| part.layer.dense_product());
        let products: Vec<_> = products.collect::<Option<_>>()?;
        let parts = products
            .iter()
            .zip(&input.layers)
            .map(|(product, layer)| Part {
                outputs: product.weight.dims()[1],
                placed: layer.placed,
                ..Part::default()
            });
        let form = Form {
            kept: input.norm.is_some(),
            after: match input.relu {
                true => Activation::Relu,
                false => Activation::Identity,
            },
            ..Form::new(&parts.collect::<Vec<_>>())
        };
        let norm = input.norm.map(|norm| norm.parameters());
        let (x, places) = (flat(&input.x), places.map(flat));
        let rows = KernelRows {
            x: &x,
            norm: norm.as_ref(),
            places: places.as_ref(),
            added: None,
        };
        let outputs = row_products(form, rows, products)?;
        let mut outputs = outputs.into_iter().map(|output| shaped(output, shape));
        let rows = match input.norm {
            Some(_) => outputs.next()?,
            None => input.x.clone(),
        };
        let outputs = outputs.collect();
        Some(RowOutputs { rows, outputs })
    }

    pub(super) fn of_sum<B: Backend>(
        layer: &Linear<B>,
        x: &Tensor<B, 3>,
        added: &Tensor<B, 3>,
    ) -> Option<Tensor<B, 3>> {
        let shape = x.dims();
        if !repeats(added, shape) {
            return None;
        }
        let product = layer.dense_product()?;
        let outputs = product.weight.dims()[1];
        let form = Form::new(&[Part {
            outputs,
            ..Part::default()
        }]);
        let (x, added) = (flat(x), flat(added));
        let rows = KernelRows {
            x: &x,
            norm: None,
            places: None,
            added: Some(&added),
        };
        let output = row_products(form, rows, vec![product])?.pop()?;
        Some(shaped(output, shape))
    }
}

#[cfg(feature = "flex")]
mod in_parts {
    use super::{Backend, Linear, RowLayers, RowOutputs, Tensor, flat, repeats, shaped};
    use crate::flex::{
        LayerNormParameters, RowProduct, RowProductsInput, has_row_products, row_products,
    };

    /// Returns whether the backend has a form for the rows of a batch.
    fn serves<B: Backend>([batch, length, _]: [usize; 3]) -> bool {
        has_row_products::<B>(batch * length)
    }

    /// Product with a dense weight.
    fn product<B: Backend>(layer: &Linear<B>, placed: bool) -> Option<RowProduct<B>> {
        Some(RowProduct {
            weight: layer.weight.dense()?.val(),
            bias: layer.bias.as_ref().map(|bias| bias.val()),
            placed,
            added: None,
        })
    }

    pub(super) fn of_layers<B: Backend>(input: &RowLayers<'_, B>) -> Option<RowOutputs<B>> {
        let shape = input.x.dims();
        let places = input.places.as_ref();
        if input.relu || !serves::<B>(shape) || !places.is_none_or(|places| repeats(places, shape))
        {
            return None;
        }
        let layers = input.layers.iter();
        let products = layers.map(|layer| product(layer.layer, layer.placed));
        let norm = input.norm.map(|norm| LayerNormParameters {
            gamma: norm.gamma.val(),
            beta: norm.beta.val(),
            epsilon: norm.epsilon,
        });
        let found = row_products(RowProductsInput {
            x: flat(&input.x),
            norm,
            places: places.map(flat),
            products: products.collect::<Option<_>>()?,
        })?;
        let outputs = found.outputs.into_iter();
        Some(RowOutputs {
            rows: match found.normed {
                Some(rows) => shaped(rows, shape),
                None => input.x.clone(),
            },
            outputs: outputs.map(|output| shaped(output, shape)).collect(),
        })
    }

    pub(super) fn of_sum<B: Backend>(
        layer: &Linear<B>,
        x: &Tensor<B, 3>,
        added: &Tensor<B, 3>,
    ) -> Option<Tensor<B, 3>> {
        let shape = x.dims();
        if !serves::<B>(shape) || !repeats(added, shape) {
            return None;
        }
        let mut product = product(layer, false)?;
        product.added = Some(flat(added));
        let mut found = row_products(RowProductsInput {
            x: flat(x),
            norm: None,
            places: None,
            products: vec![product],
        })?;
        Some(shaped(found.outputs.pop()?, shape))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Autodiff;
    use burn_flex::Flex;

    use super::*;
    use burn::module::Param;
    use burn::tensor::DType;

    use crate::nn::{LayerNormConfig, LinearConfig, LinearWeight};
    use crate::testing::{assert_close, fill, random};

    type B = Autodiff<Flex>;

    /// With and without a norm and positions; the gradient reaches rows and positions.
    #[test]
    fn layers_read_rows_with_and_without_positions() {
        let device = Default::default();
        let norm = fill(LayerNormConfig::new(6).init::<B>(&device), 1, 1.0);
        let [first, second, third] = [2, 3, 4].map(|seed| {
            let layer = LinearConfig::new(6, 5).init::<B>(&device);
            fill(layer, seed, 0.5)
        });
        for normed in [false, true] {
            let x = random::<B, 3>([2, 4, 6], 5, &device).require_grad();
            let places = random::<B, 3>([1, 4, 6], 6, &device).require_grad();
            let input = RowLayers {
                x: x.clone(),
                norm: normed.then_some(&norm),
                places: Some(places.clone()),
                layers: vec![
                    RowLayer::placed(&first),
                    RowLayer::bare(&second),
                    RowLayer::placed(&third),
                ],
                relu: true,
            };
            let found = input.forward();
            let rows = match normed {
                true => norm.forward(x.clone()),
                false => x.clone(),
            };
            assert_close(&found.rows, &rows, 1e-6);
            let placed = rows.clone() + places.clone();
            let expected = [
                first.forward_relu(placed.clone()),
                second.forward_relu(rows),
                third.forward_relu(placed),
            ];
            for (found, expected) in found.outputs.iter().zip(&expected) {
                assert_close(found, expected, 1e-6);
            }
            let sum = found.outputs.into_iter().map(|output| output.sum());
            let grads = sum.reduce(|x, y| x + y).expect("outputs").backward();
            for leaf in [x, places] {
                let moved = leaf.grad(&grads).expect("a gradient").abs().max();
                assert!(moved.into_scalar() > 0.0);
            }
        }
    }

    /// Many rows on the processor, of every type of weights, with the composed form.
    #[test]
    fn many_rows_in_parts_are_the_composed_form() {
        let device = Default::default();
        let norm = fill(LayerNormConfig::new(40).init::<Flex>(&device), 1, 1.0);
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F16, 1e-5), (DType::BF16, 2e-5)] {
            let [first, second, third] = [16, 48, 32].map(|width| {
                let layer = LinearConfig::new(40, width).init::<Flex>(&device);
                let mut layer = fill(layer, width as u64, 0.3);
                let weight = layer.weight.val().cast(dtype);
                layer.weight = LinearWeight::Dense(Param::from_tensor(weight));
                layer
            });
            for (batch, length, of, normed) in
                [(1, 300, 1, true), (3, 131, 1, false), (2, 128, 2, true)]
            {
                let x = random::<Flex, 3>([batch, length, 40], 5, &device);
                let input = || RowLayers {
                    x: x.clone(),
                    norm: normed.then_some(&norm),
                    places: Some(random([of, length, 40], 6, &device)),
                    layers: vec![
                        RowLayer::placed(&first),
                        RowLayer::bare(&second),
                        RowLayer::placed(&third),
                    ],
                    relu: false,
                };
                let found = in_parts::of_layers(&input()).expect("many rows");
                let expected = input().composed();
                assert_close(&found.rows, &expected.rows, 1e-5);
                for (found, expected) in found.outputs.iter().zip(&expected.outputs) {
                    assert_close(found, expected, tolerance);
                }
                let added = random::<Flex, 3>([of, length, 48], 7, &device);
                let found = in_parts::of_sum(&second, &x, &added).expect("many rows");
                let expected = add_shared(second.forward(x.clone()), added);
                assert_close(&found, &expected, tolerance);
            }
        }
        let few = random::<Flex, 3>([1, 8, 40], 5, &device);
        let layer = LinearConfig::new(40, 16).init::<Flex>(&device);
        assert!(in_parts::of_layers(&RowLayers::of(few, &layer)).is_none());
    }

    #[test]
    fn layers_of_the_rows_alone_need_no_positions() {
        let device = Default::default();
        let layer = LinearConfig::new(6, 5).init::<Flex>(&device);
        // The lazy parameter is drawn now.
        layer.weight.val();
        layer.bias.as_ref().map(|bias| bias.val());
        let x = random::<Flex, 3>([2, 4, 6], 5, &device);
        let input = RowLayers {
            x: x.clone(),
            norm: None,
            places: None,
            layers: vec![RowLayer::bare(&layer); 3],
            relu: false,
        };
        for found in input.forward().outputs {
            assert_close(&found, &layer.forward(x.clone()), 1e-6);
        }
        let added = random::<Flex, 3>([1, 4, 5], 7, &device);
        let sum = layer.forward_added(x.clone(), added.clone());
        assert_close(&sum, &(layer.forward(x) + added), 1e-6);
    }
}
