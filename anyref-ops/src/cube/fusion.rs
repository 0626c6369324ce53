//! Operations in fusion's stream, which keeps their order and does not wait for the device.

use core::marker::PhantomData;

use burn::tensor::ops::FloatTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_fusion::stream::{Operation as StreamOperation, OperationStreams};
use burn_fusion::{Fusion, FusionBackend, FusionRuntime};
use burn_ir::{CustomOpIr, HandleContainer, OperationIr, TensorIr};

use super::backend::{Input, KernelBackend};
use super::operation::{KernelOperation, TensorType};

type Handles<B> =
    HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;

/// Operation of backend `B` with the names of its tensors.
#[derive(Debug)]
struct Registered<B, O> {
    description: CustomOpIr,
    operation: O,
    backend: PhantomData<B>,
}

impl<R, F, I, BT, O> StreamOperation<<CubeBackend<R, F, I, BT> as FusionBackend>::FusionRuntime>
    for Registered<CubeBackend<R, F, I, BT>, O>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
    O: KernelOperation,
{
    fn execute(&self, handles: &mut Handles<CubeBackend<R, F, I, BT>>) {
        // Tensors of all kinds are one type to the runtime.
        let inputs = self.description.inputs.iter();
        let inputs =
            inputs.map(|input| handles.get_float_tensor::<CubeBackend<R, F, I, BT>>(input));
        let outputs = self.operation.clone().launch(inputs.collect());
        for (description, output) in self.description.outputs.iter().zip(outputs) {
            handles.register_float_tensor::<CubeBackend<R, F, I, BT>>(&description.id, output);
        }
    }
}

impl<R, F, I, BT> KernelBackend for Fusion<CubeBackend<R, F, I, BT>>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn run<O: KernelOperation>(operation: O, inputs: Vec<Input<Self>>) -> Vec<FloatTensor<Self>> {
        let inputs = inputs.into_iter().map(|input| match input {
            Input::Float(tensor) | Input::Int(tensor) | Input::Bool(tensor) => tensor,
        });
        let inputs: Vec<_> = inputs.collect();
        let client = inputs[0].client.clone();
        let streams = OperationStreams::with_inputs(&inputs);
        let types = inputs.iter().map(|input| TensorType {
            shape: input.shape.clone(),
            dtype: input.dtype,
        });
        let outputs = operation.output_types(&types.collect::<Vec<_>>());
        let outputs = outputs.into_iter().map(|output| {
            TensorIr::uninit(client.create_empty_handle(), output.shape, output.dtype)
        });
        let outputs: Vec<TensorIr> = outputs.collect();
        let inputs: Vec<TensorIr> = inputs.into_iter().map(|input| input.into_ir()).collect();
        let description = CustomOpIr::new(operation.name(), &inputs, &outputs);
        let registered = Registered::<CubeBackend<R, F, I, BT>, O> {
            description: description.clone(),
            operation,
            backend: PhantomData,
        };
        client.register(streams, OperationIr::Custom(description), registered)
    }
}
