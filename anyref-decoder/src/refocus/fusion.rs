//! Refocusing as an operation in fusion's stream, which keeps its order and does not wait for the
//! device.

use std::marker::PhantomData;

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, TensorMetadata};
use burn_fusion::stream::{Operation, OperationStreams};
use burn_fusion::{Fusion, FusionBackend, FusionRuntime};
use burn_ir::{CustomOpIr, HandleContainer, OperationIr, OperationOutput, TensorIr};

use super::{Objects, RefocusBackend, RefocusGradients};

type Handles<B> =
    HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;

#[derive(Debug)]
struct Forward<B> {
    description: CustomOpIr,
    objects: Objects,
    backend: PhantomData<B>,
}

#[derive(Debug)]
struct Backward<B> {
    description: CustomOpIr,
    objects: Objects,
    backend: PhantomData<B>,
}

impl<B: FusionBackend + RefocusBackend> Operation<B::FusionRuntime> for Forward<B> {
    fn execute(&self, handles: &mut Handles<B>) {
        let ([query, key, hidden], [output]) = self.description.as_fixed();
        let states = B::refocus(
            handles.get_float_tensor::<B>(query),
            handles.get_float_tensor::<B>(key),
            handles.get_float_tensor::<B>(hidden),
            self.objects.clone(),
        );
        handles.register_float_tensor::<B>(&output.id, states);
    }
}

impl<B: FusionBackend + RefocusBackend> Operation<B::FusionRuntime> for Backward<B> {
    fn execute(&self, handles: &mut Handles<B>) {
        let ([query, key, hidden, gradient], outputs) = self.description.as_fixed();
        let [query_out, key_out, hidden_out] = outputs;
        let gradients = B::refocus_backward(
            handles.get_float_tensor::<B>(query),
            handles.get_float_tensor::<B>(key),
            handles.get_float_tensor::<B>(hidden),
            self.objects.clone(),
            handles.get_float_tensor::<B>(gradient),
        );
        handles.register_float_tensor::<B>(&query_out.id, gradients.query);
        handles.register_float_tensor::<B>(&key_out.id, gradients.key);
        handles.register_float_tensor::<B>(&hidden_out.id, gradients.hidden);
    }
}

impl<B: FusionBackend + RefocusBackend> RefocusBackend for Fusion<B> {
    fn refocus(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
    ) -> FloatTensor<Self> {
        let client = query.client.clone();
        let streams = OperationStreams::with_inputs([&query, &key, &hidden]);
        let [_, _, width] = hidden.shape.dims();
        let shape = Shape::new([objects.tokens().len(), width]);
        let output = TensorIr::uninit(client.create_empty_handle(), shape, hidden.dtype);
        let inputs = [query.into_ir(), key.into_ir(), hidden.into_ir()];
        let description = CustomOpIr::new("anyref.refocus", &inputs, &[output]);
        let operation = Forward::<B> {
            description: description.clone(),
            objects,
            backend: PhantomData,
        };
        client
            .register(streams, OperationIr::Custom(description), operation)
            .output()
    }

    fn refocus_backward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        objects: Objects,
        gradient: FloatTensor<Self>,
    ) -> RefocusGradients<FloatTensor<Self>> {
        let client = query.client.clone();
        let streams = OperationStreams::with_inputs([&query, &key, &hidden, &gradient]);
        let like = |shape: Shape, dtype: DType| {
            TensorIr::uninit(client.create_empty_handle(), shape, dtype)
        };
        let outputs = [&query, &key, &hidden].map(|input| like(input.shape(), input.dtype()));
        let inputs = [query, key, hidden, gradient].map(|input| input.into_ir());
        let description = CustomOpIr::new("anyref.refocus_backward", &inputs, &outputs);
        let operation = Backward::<B> {
            description: description.clone(),
            objects,
            backend: PhantomData,
        };
        let [query, key, hidden] = client
            .register(streams, OperationIr::Custom(description), operation)
            .outputs();
        RefocusGradients { query, key, hidden }
    }
}
