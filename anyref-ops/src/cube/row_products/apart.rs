//! Products on devices that bind few tensors at once, such as those of browsers: a norm, and a
//! launch for each product.

use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

use super::form::Form;
use super::operands::Operands;
use super::together;
use crate::cube::norm::Norm;
use crate::cube::operation::{KernelOperation, exactly};
use crate::cube::placed_norm::PlacedNorm;

/// Computes the products one by one into buffers, the first of which normalised rows replace.
pub(super) fn write<R: CubeRuntime>(
    form: Form,
    epsilon: f64,
    operands: Operands<R>,
    outputs: &mut [CubeTensor<R>],
) {
    let [bare, placed] = prepared(&form, epsilon, &operands);
    if form.kept {
        outputs[0] = bare.clone();
    }
    for (index, part) in form.parts().iter().enumerate() {
        let mut alone = form.alone(index);
        let mut places = operands.places.clone();
        // Without a norm a product adds the positions itself.
        if form.normed || !part.placed {
            alone = alone.with_places_added();
            places.clear();
        }
        let x = if part.placed { &placed } else { &bare };
        let operands = Operands {
            x: x.clone(),
            norm: Vec::new(),
            places,
            weights: vec![operands.weights[index].clone()],
            biases: operands.biases.get(index).cloned().into_iter().collect(),
            added: operands.added.clone(),
        };
        let output = &outputs[usize::from(form.kept) + form.output(index)];
        together::write(alone, epsilon, operands, core::slice::from_ref(output));
    }
}

/// Rows as the products read them, without positions and with them.
fn prepared<R: CubeRuntime>(
    form: &Form,
    epsilon: f64,
    operands: &Operands<R>,
) -> [CubeTensor<R>; 2] {
    let x = operands.x.clone();
    if !form.normed {
        return [x.clone(), x];
    }
    let inputs = [x].into_iter().chain(operands.norm.iter().cloned());
    if form.placed {
        let norm = PlacedNorm {
            added: false,
            epsilon,
        };
        let inputs = inputs.chain(operands.places.iter().cloned());
        return exactly(norm.launch(inputs.collect()));
    }
    let norm = Norm {
        centred: true,
        added: false,
        shifted: true,
        epsilon,
    };
    let [normed] = exactly(norm.launch(inputs.collect()));
    [normed.clone(), normed]
}
