//! Storage of a linear layer's weight.

use core::ops::Range;

use burn::module::{
    AutodiffModule, Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param,
};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor};

use super::q8_0::Q8_0Weight;

/// Weight of a [`Linear`](super::Linear) layer, `[d_input, d_output]`.
///
/// Visitors and mappers of modules see a dense weight as the parameter `weight` of the layer, and
/// nothing of one in blocks, which is not trained, cast or saved by them. burn's records hold the
/// values of either as a dense weight.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LinearWeight<B: Backend> {
    /// Floats.
    Dense(Param<Tensor<B, 2>>),
    /// Blocks of eight-bit integers.
    Q8_0(Q8_0Weight<B>),
}

impl<B: Backend> LinearWeight<B> {
    /// Values as floats, `[d_input, d_output]`; those of blocks are computed at each call.
    pub fn val(&self) -> Tensor<B, 2> {
        match self {
            Self::Dense(param) => param.val(),
            Self::Q8_0(blocks) => blocks.dequantize(0..blocks.dims()[1]),
        }
    }

    /// `[d_input, d_output]`. A parameter that is not initialised yet stays so.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Dense(param) => param.lazy_shape().dims(),
            Self::Q8_0(blocks) => blocks.dims(),
        }
    }

    /// Device of the values. A parameter that is not initialised yet stays so.
    pub fn device(&self) -> B::Device {
        match self {
            Self::Dense(param) => param.lazy_device(),
            Self::Q8_0(blocks) => blocks.device(),
        }
    }

    /// Type in which the values are multiplied.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Dense(param) => param.val().dtype(),
            Self::Q8_0(_) => DType::F32,
        }
    }

    /// Whether there are values yet, rather than a parameter that is drawn when it is needed.
    pub fn is_initialized(&self) -> bool {
        match self {
            Self::Dense(param) => param.is_initialized(),
            Self::Q8_0(_) => true,
        }
    }

    /// Parameter of a dense weight.
    pub fn dense(&self) -> Option<&Param<Tensor<B, 2>>> {
        match self {
            Self::Dense(param) => Some(param),
            Self::Q8_0(_) => None,
        }
    }

    /// Applies `change` to the parameter of a dense weight; blocks stay as they are.
    pub fn map_dense(
        self,
        change: impl FnOnce(Param<Tensor<B, 2>>) -> Param<Tensor<B, 2>>,
    ) -> Self {
        match self {
            Self::Dense(param) => Self::Dense(change(param)),
            blocks => blocks,
        }
    }

    /// `x · weight + bias`.
    pub(super) fn product<const D: usize>(
        &self,
        x: Tensor<B, D>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        match self {
            Self::Dense(param) => crate::linear(x, param.val(), bias),
            Self::Q8_0(blocks) => blocks.product(x, 0..blocks.dims()[1], bias),
        }
    }

    /// Some of the outputs of `x · weight + bias`; the bias is of these alone.
    pub(super) fn product_of<const D: usize>(
        &self,
        x: Tensor<B, D>,
        outputs: Range<usize>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        match self {
            Self::Dense(param) => {
                let weight = param.val().narrow(1, outputs.start, outputs.len());
                crate::linear(x, weight, bias)
            }
            Self::Q8_0(blocks) => blocks.product(x, outputs, bias),
        }
    }
}

impl<B: AutodiffBackend> LinearWeight<B> {
    /// Gradient of a dense weight; none for blocks, and where no gradient reached it.
    pub fn grad(&self, gradients: &B::Gradients) -> Option<Tensor<B::InnerBackend, 2>> {
        self.dense()?.val().grad(gradients)
    }
}

impl<B: Backend> From<Param<Tensor<B, 2>>> for LinearWeight<B> {
    fn from(param: Param<Tensor<B, 2>>) -> Self {
        Self::Dense(param)
    }
}

impl<B: Backend> Module<B> for LinearWeight<B> {
    type Record = Param<Tensor<B, 2>>;

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        if let Self::Dense(param) = self {
            param.visit(visitor);
        }
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        self.map_dense(|param| <Param<Tensor<B, 2>> as Module<B>>::map(param, mapper))
    }

    fn collect_devices(&self, mut devices: Devices<B>) -> Devices<B> {
        match self {
            Self::Dense(param) => param.collect_devices(devices),
            Self::Q8_0(blocks) => {
                let device = blocks.device();
                if !devices.contains(&device) {
                    devices.push(device);
                }
                devices
            }
        }
    }

    fn fork(self, device: &B::Device) -> Self {
        match self {
            Self::Dense(param) => Self::Dense(param.fork(device)),
            Self::Q8_0(blocks) => Self::Q8_0(blocks.to_device(device)),
        }
    }

    fn to_device(self, device: &B::Device) -> Self {
        match self {
            Self::Dense(param) => Self::Dense(param.to_device(device)),
            Self::Q8_0(blocks) => Self::Q8_0(blocks.to_device(device)),
        }
    }

    fn load_record(self, record: Self::Record) -> Self {
        Self::Dense(match self {
            Self::Dense(param) => param.load_record(record),
            Self::Q8_0(blocks) => record.to_device(&blocks.device()),
        })
    }

    fn into_record(self) -> Self::Record {
        match self {
            Self::Dense(param) => param.into_record(),
            blocks => Param::from_tensor(blocks.val()),
        }
    }
}

impl<B: AutodiffBackend> AutodiffModule<B> for LinearWeight<B> {
    type InnerModule = LinearWeight<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        match self {
            Self::Dense(param) => LinearWeight::Dense(param.valid()),
            Self::Q8_0(blocks) => LinearWeight::Q8_0(blocks.inner()),
        }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        match module {
            LinearWeight::Dense(param) => Self::Dense(
                <Param<Tensor<B, 2>> as AutodiffModule<B>>::from_inner(param),
            ),
            LinearWeight::Q8_0(blocks) => Self::Q8_0(Q8_0Weight::from_inner(blocks)),
        }
    }
}

impl<B: Backend> ModuleDisplayDefault for LinearWeight<B> {
    fn content(&self, content: Content) -> Option<Content> {
        match self {
            Self::Dense(param) => param.content(content),
            Self::Q8_0(blocks) => {
                let shape = format!("Q8_0 {{shape: {:?}}}", blocks.dims());
                content.add_formatted(&shape).optional()
            }
        }
    }
}

impl<B: Backend> ModuleDisplay for LinearWeight<B> {}
