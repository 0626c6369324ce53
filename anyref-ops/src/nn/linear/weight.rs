//! Storage of a linear layer's weight.

use core::ops::Range;
use std::borrow::Cow;

use burn::module::{
    AutodiffModule, Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param,
};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor, TensorData};

#[cfg(feature = "flex")]
use super::blocks::BlockWeight;
#[cfg(feature = "flex")]
use super::int8::Int8Weight;
#[cfg(feature = "cube")]
use super::planes::PlaneWeight;
use super::q8_0::{Q8_0Block, Q8_0Weight};
use crate::blocks::{BlockRows, BlockType, Blocks};

/// Weight of a [`Linear`](super::Linear) layer, `[d_input, d_output]`.
///
/// Visitors and mappers of modules see a dense weight as the parameter `weight` of the layer, and
/// nothing of a weight in blocks, which they neither train, cast nor save. burn's records store
/// both as a dense weight.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LinearWeight<B: Backend> {
    /// Floats.
    Dense(Param<Tensor<B, 2>>),
    /// Blocks of eight-bit integers, in tensors of any backend.
    Q8_0(Q8_0Weight<B>),
    /// Blocks of any format, on the processor.
    #[cfg(feature = "flex")]
    Blocks(BlockWeight<B>),
    /// Integers of eight bits with one scale for each output, on the processor.
    #[cfg(feature = "flex")]
    Int8(Int8Weight<B>),
    /// Blocks of any format, on a GPU with kernels for them.
    #[cfg(feature = "cube")]
    Planes(PlaneWeight<B>),
}

impl<B: Backend> LinearWeight<B> {
    /// Creates a weight from blocks, `[d_output, d_input]`. On the processor and on GPUs with
    /// kernels all formats stay blocks, elsewhere `Q8_0` alone; formats without a product on the
    /// device are converted to f16 or f32, with a warning in the log.
    pub fn from_blocks(blocks: &Blocks<'_>, device: &B::Device) -> Self {
        #[cfg(feature = "flex")]
        if crate::on_processor::<B>() {
            return Self::Blocks(BlockWeight::new(blocks, device));
        }
        #[cfg(feature = "cube")]
        if let Some(planes) = PlaneWeight::new(blocks, device) {
            return Self::Planes(planes);
        }
        let [d_output, d_input] = blocks.dims();
        if blocks.block_type() == BlockType::Q8_0 {
            let bytes = blocks.bytes().chunks_exact(BlockType::Q8_0.bytes());
            let blocks: Vec<_> = bytes.map(Q8_0Block::from_bytes).collect();
            return Self::Q8_0(Q8_0Weight::new(&blocks, [d_input, d_output], device));
        }
        let dtype = match B::supports_dtype(device, DType::F16) {
            true => DType::F16,
            false => DType::F32,
        };
        let (from, to) = (blocks.block_type(), dtype.name());
        log::warn!("{from} weights are converted to {to}: this device has no product for them");
        let values = TensorData::new(blocks.dequantize(), [d_output, d_input]);
        let stored = Tensor::<B, 2>::from_data(values.convert_dtype(dtype), (device, dtype));
        Self::Dense(Param::from_tensor(stored.transpose()))
    }

    /// Creates a weight from blocks, `[d_output, d_input]`, as [`from_blocks`](Self::from_blocks)
    /// does. On the processor they are fetched while they are repacked.
    ///
    /// # Errors
    /// When rows cannot be fetched.
    pub fn read_blocks<R: BlockRows>(blocks: &R, device: &B::Device) -> Result<Self, R::Error> {
        #[cfg(feature = "flex")]
        if crate::on_processor::<B>() {
            return Ok(Self::Blocks(BlockWeight::read(blocks, device)?));
        }
        Ok(Self::from_blocks(&blocks.collect()?, device))
    }

    /// Returns whether rows of this many inputs can be integers of eight bits: whole blocks of
    /// `Q8_0`, as which files hold them, whose sums fit 32 bits.
    pub fn fits_int8(d_input: usize) -> bool {
        /// Inputs whose products, 127 · 127 each, fit a sum.
        const MOST: usize = (i32::MAX / (127 * 127)) as usize;
        d_input > 0 && d_input <= MOST && BlockType::Q8_0.row_bytes(d_input).is_some()
    }

    /// Rounds floats `[d_output, d_input]` to integers of eight bits with one scale for each
    /// output. All threads fetch some rows at a time. On other devices than the processor, which
    /// have no product for them, they become blocks of `Q8_0`, with a warning in the log.
    ///
    /// # Errors
    /// When rows cannot be fetched.
    ///
    /// # Panics
    /// For rows that do not [fit](Self::fits_int8).
    pub fn read_int8<'a, E: Send>(
        [d_output, d_input]: [usize; 2],
        fetch: impl Fn(Range<usize>) -> Result<Cow<'a, [f32]>, E> + Sync,
        device: &B::Device,
    ) -> Result<Self, E> {
        assert!(Self::fits_int8(d_input), "rows of {d_input} values");
        let dims = [d_output, d_input];
        #[cfg(feature = "flex")]
        if crate::on_processor::<B>() {
            return Ok(Self::Int8(Int8Weight::read(dims, fetch, device)?));
        }
        log::warn!("int8 weights are converted to Q8_0: this device has no product for them");
        let values = fetch(0..d_output)?;
        let blocks = Blocks::quantize(BlockType::Q8_0, dims, &values);
        let blocks = blocks.expect("whole blocks of a written format");
        Ok(Self::from_blocks(&blocks, device))
    }

    /// Format of the blocks, those that files hold for weights of eight bits; `None` for a dense
    /// weight.
    pub fn block_type(&self) -> Option<BlockType> {
        match self {
            Self::Dense(_) => None,
            Self::Q8_0(_) => Some(BlockType::Q8_0),
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => Some(blocks.block_type()),
            #[cfg(feature = "flex")]
            Self::Int8(_) => Some(BlockType::Q8_0),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => Some(blocks.block_type()),
        }
    }

    /// Blocks `[d_output, d_input]` as stored in files; `None` for a dense weight.
    pub fn to_blocks(&self) -> Option<Blocks<'static>> {
        match self {
            Self::Dense(_) => None,
            Self::Q8_0(blocks) => Some(blocks.to_blocks()),
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => Some(blocks.to_blocks()),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => Some(weight.to_blocks()),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => Some(blocks.to_blocks()),
        }
    }

    /// Values as floats, `[d_input, d_output]`; blocks are dequantized at each call.
    pub fn val(&self) -> Tensor<B, 2> {
        match self {
            Self::Dense(param) => param.val(),
            Self::Q8_0(blocks) => blocks.dequantize(0..blocks.dims()[1]),
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => blocks.dequantize(0..blocks.dims()[1]),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => weight.dequantize(0..weight.dims()[1]),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => blocks.dequantize(0..blocks.dims()[1]),
        }
    }

    /// Shape `[d_input, d_output]`, without initialising a lazy parameter.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Dense(param) => param.lazy_shape().dims(),
            Self::Q8_0(blocks) => blocks.dims(),
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => blocks.dims(),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => weight.dims(),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => blocks.dims(),
        }
    }

    /// Device of the values, found without initialising a lazy parameter.
    pub fn device(&self) -> B::Device {
        match self {
            Self::Dense(param) => param.lazy_device(),
            Self::Q8_0(blocks) => blocks.device(),
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => blocks.device(),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => weight.device(),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => blocks.device(),
        }
    }

    /// Returns whether products round their input where the processor is faster then, so that other
    /// products of the layer may too: weights of bf16 and of eight bits.
    pub fn rounds_inputs(&self) -> bool {
        match self {
            Self::Dense(param) => param.val().dtype() == DType::BF16,
            #[cfg(feature = "flex")]
            Self::Int8(_) => true,
            _ => false,
        }
    }

    /// Type in which the values are multiplied.
    pub fn dtype(&self) -> DType {
        match self {
            Self::Dense(param) => param.val().dtype(),
            _ => DType::F32,
        }
    }

    /// Returns whether the values exist, as opposed to a lazy parameter that is drawn on first use.
    pub fn is_initialized(&self) -> bool {
        match self {
            Self::Dense(param) => param.is_initialized(),
            _ => true,
        }
    }

    /// Parameter of a dense weight, `[d_input, d_output]`.
    pub fn dense(&self) -> Option<&Param<Tensor<B, 2>>> {
        match self {
            Self::Dense(param) => Some(param),
            _ => None,
        }
    }

    /// Applies `change` to the parameter of a dense weight; blocks are left unchanged.
    pub fn map_dense(
        self,
        change: impl FnOnce(Param<Tensor<B, 2>>) -> Param<Tensor<B, 2>>,
    ) -> Self {
        match self {
            Self::Dense(param) => Self::Dense(change(param)),
            blocks => blocks,
        }
    }

    /// Computes `x · weight + bias`.
    pub(super) fn product<const D: usize>(
        &self,
        x: Tensor<B, D>,
        bias: Option<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        match self {
            Self::Dense(param) => crate::linear(x, param.val(), bias),
            Self::Q8_0(blocks) => blocks.product(x, 0..blocks.dims()[1], bias),
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => blocks.product(x, bias),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => weight.product(x, bias),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => blocks.product(x, bias),
        }
    }

    /// Computes some of the outputs of `x · weight + bias`; the bias holds these alone.
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
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => blocks.product_of(x, outputs, bias),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => weight.product_of(x, outputs, bias),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => blocks.product_of(x, outputs, bias),
        }
    }
}

impl<B: AutodiffBackend> LinearWeight<B> {
    /// Gradient of a dense weight, `[d_input, d_output]`; `None` for blocks, and if no gradient
    /// reached it.
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
            _ => {
                let device = self.device();
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
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => Self::Blocks(blocks.to_device(device)),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => Self::Int8(weight.to_device(device)),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => Self::Planes(blocks.to_device(device)),
        }
    }

    fn to_device(self, device: &B::Device) -> Self {
        match self {
            Self::Dense(param) => Self::Dense(param.to_device(device)),
            Self::Q8_0(blocks) => Self::Q8_0(blocks.to_device(device)),
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => Self::Blocks(blocks.to_device(device)),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => Self::Int8(weight.to_device(device)),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => Self::Planes(blocks.to_device(device)),
        }
    }

    fn load_record(self, record: Self::Record) -> Self {
        Self::Dense(match self {
            Self::Dense(param) => param.load_record(record),
            blocks => record.to_device(&blocks.device()),
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
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => LinearWeight::Blocks(blocks.inner()),
            #[cfg(feature = "flex")]
            Self::Int8(weight) => LinearWeight::Int8(weight.inner()),
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => LinearWeight::Planes(blocks.inner()),
        }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        match module {
            LinearWeight::Dense(param) => Self::Dense(
                <Param<Tensor<B, 2>> as AutodiffModule<B>>::from_inner(param),
            ),
            LinearWeight::Q8_0(blocks) => Self::Q8_0(Q8_0Weight::from_inner(blocks)),
            #[cfg(feature = "flex")]
            LinearWeight::Blocks(blocks) => Self::Blocks(BlockWeight::from_inner(blocks)),
            #[cfg(feature = "flex")]
            LinearWeight::Int8(weight) => Self::Int8(Int8Weight::from_inner(weight)),
            #[cfg(feature = "cube")]
            LinearWeight::Planes(blocks) => Self::Planes(PlaneWeight::from_inner(blocks)),
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
            #[cfg(feature = "flex")]
            Self::Blocks(blocks) => {
                let (format, shape) = (blocks.block_type(), blocks.dims());
                let shape = format!("{format} {{shape: {shape:?}}}");
                content.add_formatted(&shape).optional()
            }
            #[cfg(feature = "flex")]
            Self::Int8(weight) => {
                let shape = format!("Int8 {{shape: {:?}}}", weight.dims());
                content.add_formatted(&shape).optional()
            }
            #[cfg(feature = "cube")]
            Self::Planes(blocks) => {
                let (format, shape) = (blocks.block_type(), blocks.dims());
                let shape = format!("{format} {{shape: {shape:?}}}");
                content.add_formatted(&shape).optional()
            }
        }
    }
}

impl<B: Backend> ModuleDisplay for LinearWeight<B> {}
