//! Operations on weights in blocks in fusion's stream, which keeps their order and does not wait
//! for the device.

use core::marker::PhantomData;
use core::ops::Range;

use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Shape};
use burn_fusion::stream::{Operation, OperationStreams};
use burn_fusion::{Fusion, FusionBackend, FusionRuntime};
use burn_ir::{CustomOpIr, HandleContainer, OperationIr, OperationOutput, TensorIr};

use super::backend::BlockBackend;
use crate::blocks::PlaneLayout;

type Handles<B> =
    HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;

/// Operation of [`BlockBackend`].
#[derive(Debug, Clone)]
enum Kind {
    Product,
    Range(Range<usize>),
    Rows,
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Product => "anyref.block_product",
            Self::Range(_) => "anyref.block_range",
            Self::Rows => "anyref.block_rows",
        }
    }
}

#[derive(Debug)]
struct BlockOperation<B> {
    description: CustomOpIr,
    kind: Kind,
    layout: PlaneLayout,
    backend: PhantomData<B>,
}

impl<B: FusionBackend + BlockBackend> Operation<B::FusionRuntime> for BlockOperation<B> {
    fn execute(&self, handles: &mut Handles<B>) {
        let (found, output) = match &self.kind {
            Kind::Product => {
                let ([words, x], [output]) = self.description.as_fixed();
                let words = handles.get_int_tensor::<B>(words);
                let x = handles.get_float_tensor::<B>(x);
                (B::block_product(x, words, self.layout), output)
            }
            Kind::Range(range) => {
                let ([words], [output]) = self.description.as_fixed();
                let words = handles.get_int_tensor::<B>(words);
                let found = B::block_range(words, self.layout, range.clone(), output.dtype);
                (found, output)
            }
            Kind::Rows => {
                let ([words, indices], [output]) = self.description.as_fixed();
                let words = handles.get_int_tensor::<B>(words);
                let indices = handles.get_int_tensor::<B>(indices);
                let found = B::block_rows(words, indices, self.layout, output.dtype);
                (found, output)
            }
        };
        handles.register_float_tensor::<B>(&output.id, found);
    }
}

/// Registers an operation whose inputs are the words and, for some, another tensor.
fn register<B: FusionBackend + BlockBackend>(
    kind: Kind,
    words: IntTensor<Fusion<B>>,
    other: Option<FloatTensor<Fusion<B>>>,
    layout: PlaneLayout,
    shape: [usize; 2],
    dtype: DType,
) -> FloatTensor<Fusion<B>> {
    let client = words.client.clone();
    let streams = match &other {
        Some(other) => OperationStreams::with_inputs([&words, other]),
        None => OperationStreams::with_inputs([&words]),
    };
    let output = TensorIr::uninit(client.create_empty_handle(), Shape::new(shape), dtype);
    let inputs: Vec<TensorIr> = core::iter::once(words)
        .chain(other)
        .map(|input| input.into_ir())
        .collect();
    let description = CustomOpIr::new(kind.name(), &inputs, &[output]);
    let operation = BlockOperation::<B> {
        description: description.clone(),
        kind,
        layout,
        backend: PhantomData,
    };
    client
        .register(streams, OperationIr::Custom(description), operation)
        .output()
}

impl<B: FusionBackend + BlockBackend> BlockBackend for Fusion<B> {
    fn block_product(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        layout: PlaneLayout,
    ) -> FloatTensor<Self> {
        let [n, _] = x.shape.dims();
        let (shape, dtype) = ([n, layout.rows], x.dtype);
        register::<B>(Kind::Product, words, Some(x), layout, shape, dtype)
    }

    fn block_range(
        words: IntTensor<Self>,
        layout: PlaneLayout,
        range: Range<usize>,
        dtype: DType,
    ) -> FloatTensor<Self> {
        let shape = [range.len(), layout.columns];
        register::<B>(Kind::Range(range), words, None, layout, shape, dtype)
    }

    fn block_rows(
        words: IntTensor<Self>,
        indices: IntTensor<Self>,
        layout: PlaneLayout,
        dtype: DType,
    ) -> FloatTensor<Self> {
        let [count] = indices.shape.dims();
        let shape = [count, layout.columns];
        register::<B>(Kind::Rows, words, Some(indices), layout, shape, dtype)
    }
}
