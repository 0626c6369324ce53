//! Embedding table with replaceable storage.

use burn::module::{
    AutodiffModule, Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param,
};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Shape, Tensor};

#[cfg(feature = "flex")]
use super::linear::BlockWeight;
#[cfg(feature = "cube")]
use super::linear::PlaneWeight;
use crate::blocks::{BlockRows, BlockType, Blocks};

/// Embedding table (`torch.nn.Embedding`), which also serves as the weight of a head.
#[derive(Module, Debug)]
pub struct Embedding<B: Backend> {
    /// Table, `[n_embedding, d_model]`.
    pub weight: EmbeddingWeight<B>,
}

/// Storage of a table `[n_embedding, d_model]`.
///
/// Visitors and mappers of modules see a dense table as a parameter, and nothing of a table in
/// blocks. burn's records store both as a dense table.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EmbeddingWeight<B: Backend> {
    /// Floats.
    Dense(Param<Tensor<B, 2>>),
    /// Blocks of any format, on the processor.
    #[cfg(feature = "flex")]
    Blocks(BlockWeight<B>),
    /// Blocks of any format, on a GPU with kernels for them.
    #[cfg(feature = "cube")]
    Planes(PlaneWeight<B>),
}

impl<B: Backend> Embedding<B> {
    /// Embeds tokens.
    ///
    /// # Shapes
    /// - ids: `[batch, length]`
    /// - output: `[batch, length, d_model]`
    ///
    /// # Panics
    /// When an id is not in the table, on backends that check it, such as the processor's.
    pub fn forward(&self, ids: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        match &self.weight {
            EmbeddingWeight::Dense(table) => burn::tensor::module::embedding(table.val(), ids),
            #[cfg(feature = "flex")]
            EmbeddingWeight::Blocks(table) => {
                let [batch, length] = ids.dims();
                let rows: Vec<usize> = ids
                    .into_data()
                    .iter::<i64>()
                    .map(|id| id as usize)
                    .collect();
                let [d_model, _] = table.dims();
                table.rows(&rows).reshape([batch, length, d_model])
            }
            #[cfg(feature = "cube")]
            EmbeddingWeight::Planes(table) => {
                let [batch, length] = ids.dims();
                let [d_model, _] = table.dims();
                let rows = table.rows(ids.reshape([batch * length]));
                rows.reshape([batch, length, d_model])
            }
        }
    }

    /// Computes `x · weightᵀ`, the scores of all embeddings.
    ///
    /// # Shapes
    /// - x: `[batch, length, d_model]`
    /// - output: `[batch, length, n_embedding]`
    pub fn scores(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        match &self.weight {
            EmbeddingWeight::Dense(table) => crate::linear(x, table.val().transpose(), None),
            #[cfg(feature = "flex")]
            EmbeddingWeight::Blocks(table) => table.product(x, None),
            #[cfg(feature = "cube")]
            EmbeddingWeight::Planes(table) => table.product(x, None),
        }
    }
}

impl<B: Backend> EmbeddingWeight<B> {
    /// Creates a table from blocks, `[n_embedding, d_model]`: they stay blocks on the processor and
    /// on GPUs with kernels, and become floats elsewhere.
    pub fn from_blocks(blocks: &Blocks<'_>, device: &B::Device) -> Self {
        #[cfg(feature = "flex")]
        if crate::on_processor::<B>() {
            return Self::Blocks(BlockWeight::new(blocks, device));
        }
        #[cfg(feature = "cube")]
        if let Some(planes) = PlaneWeight::new(blocks, device) {
            return Self::Planes(planes);
        }
        let values = burn::tensor::TensorData::new(blocks.dequantize(), blocks.dims());
        Self::Dense(Param::from_tensor(Tensor::from_data(values, device)))
    }

    /// Creates a table from blocks, `[n_embedding, d_model]`, as [`from_blocks`](Self::from_blocks)
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

    /// Format of the blocks; `None` for a dense table.
    pub fn block_type(&self) -> Option<BlockType> {
        match self {
            Self::Dense(_) => None,
            #[cfg(feature = "flex")]
            Self::Blocks(table) => Some(table.block_type()),
            #[cfg(feature = "cube")]
            Self::Planes(table) => Some(table.block_type()),
        }
    }

    /// Blocks `[n_embedding, d_model]` as stored in files; `None` for a dense table.
    pub fn to_blocks(&self) -> Option<Blocks<'static>> {
        match self {
            Self::Dense(_) => None,
            #[cfg(feature = "flex")]
            Self::Blocks(table) => Some(table.to_blocks()),
            #[cfg(feature = "cube")]
            Self::Planes(table) => Some(table.to_blocks()),
        }
    }

    /// Values as floats, `[n_embedding, d_model]`; blocks are dequantized at each call.
    pub fn val(&self) -> Tensor<B, 2> {
        match self {
            Self::Dense(table) => table.val(),
            #[cfg(feature = "flex")]
            Self::Blocks(table) => table.dequantize(0..table.dims()[1]).transpose(),
            #[cfg(feature = "cube")]
            Self::Planes(table) => table.dequantize(0..table.dims()[1]).transpose(),
        }
    }

    /// Shape `[n_embedding, d_model]`, without initialising a lazy parameter.
    pub fn lazy_shape(&self) -> Shape {
        match self {
            Self::Dense(table) => table.lazy_shape().clone(),
            #[cfg(feature = "flex")]
            Self::Blocks(table) => {
                let [d_model, n_embedding] = table.dims();
                Shape::new([n_embedding, d_model])
            }
            #[cfg(feature = "cube")]
            Self::Planes(table) => {
                let [d_model, n_embedding] = table.dims();
                Shape::new([n_embedding, d_model])
            }
        }
    }

    /// Device of the table, found without initialising a lazy parameter.
    pub fn device(&self) -> B::Device {
        match self {
            Self::Dense(table) => table.lazy_device(),
            #[cfg(feature = "flex")]
            Self::Blocks(table) => table.device(),
            #[cfg(feature = "cube")]
            Self::Planes(table) => table.device(),
        }
    }

    /// Returns whether the values exist, as opposed to a lazy parameter that is drawn on first use.
    pub fn is_initialized(&self) -> bool {
        self.dense().is_none_or(Param::is_initialized)
    }

    /// Parameter of a dense table, `[n_embedding, d_model]`.
    pub fn dense(&self) -> Option<&Param<Tensor<B, 2>>> {
        match self {
            Self::Dense(table) => Some(table),
            #[cfg(feature = "flex")]
            Self::Blocks(_) => None,
            #[cfg(feature = "cube")]
            Self::Planes(_) => None,
        }
    }

    /// Applies `change` to the table as floats; blocks become floats.
    pub fn map_values(
        self,
        change: impl FnOnce(Param<Tensor<B, 2>>) -> Param<Tensor<B, 2>>,
    ) -> Self {
        match self {
            Self::Dense(table) => Self::Dense(change(table)),
            #[cfg(any(feature = "flex", feature = "cube"))]
            blocks => Self::Dense(change(Param::from_tensor(blocks.val()))),
        }
    }
}

impl<B: Backend> From<Param<Tensor<B, 2>>> for EmbeddingWeight<B> {
    fn from(table: Param<Tensor<B, 2>>) -> Self {
        Self::Dense(table)
    }
}

impl<B: Backend> Module<B> for EmbeddingWeight<B> {
    type Record = Param<Tensor<B, 2>>;

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        if let Some(table) = self.dense() {
            table.visit(visitor);
        }
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        match self {
            Self::Dense(table) => {
                Self::Dense(<Param<Tensor<B, 2>> as Module<B>>::map(table, mapper))
            }
            #[cfg(any(feature = "flex", feature = "cube"))]
            blocks => blocks,
        }
    }

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        match self {
            Self::Dense(table) => table.collect_devices(devices),
            #[cfg(feature = "flex")]
            Self::Blocks(table) => {
                let (mut devices, device) = (devices, table.device());
                if !devices.contains(&device) {
                    devices.push(device);
                }
                devices
            }
            #[cfg(feature = "cube")]
            Self::Planes(table) => {
                let (mut devices, device) = (devices, table.device());
                if !devices.contains(&device) {
                    devices.push(device);
                }
                devices
            }
        }
    }

    fn fork(self, device: &B::Device) -> Self {
        match self {
            Self::Dense(table) => Self::Dense(table.fork(device)),
            #[cfg(feature = "flex")]
            Self::Blocks(table) => Self::Blocks(table.to_device(device)),
            #[cfg(feature = "cube")]
            Self::Planes(table) => Self::Planes(table.to_device(device)),
        }
    }

    fn to_device(self, device: &B::Device) -> Self {
        match self {
            Self::Dense(table) => Self::Dense(table.to_device(device)),
            #[cfg(feature = "flex")]
            Self::Blocks(table) => Self::Blocks(table.to_device(device)),
            #[cfg(feature = "cube")]
            Self::Planes(table) => Self::Planes(table.to_device(device)),
        }
    }

    fn load_record(self, record: Self::Record) -> Self {
        Self::Dense(match self {
            Self::Dense(table) => table.load_record(record),
            #[cfg(any(feature = "flex", feature = "cube"))]
            blocks => record.to_device(&blocks.device()),
        })
    }

    fn into_record(self) -> Self::Record {
        match self {
            Self::Dense(table) => table.into_record(),
            #[cfg(any(feature = "flex", feature = "cube"))]
            blocks => Param::from_tensor(blocks.val()),
        }
    }
}

impl<B: AutodiffBackend> AutodiffModule<B> for EmbeddingWeight<B> {
    type InnerModule = EmbeddingWeight<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        match self {
            Self::Dense(table) => EmbeddingWeight::Dense(table.valid()),
            #[cfg(feature = "flex")]
            Self::Blocks(table) => EmbeddingWeight::Blocks(table.inner()),
            #[cfg(feature = "cube")]
            Self::Planes(table) => EmbeddingWeight::Planes(table.inner()),
        }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        match module {
            EmbeddingWeight::Dense(table) => Self::Dense(<Param<Tensor<B, 2>> as AutodiffModule<
                B,
            >>::from_inner(table)),
            #[cfg(feature = "flex")]
            EmbeddingWeight::Blocks(table) => Self::Blocks(BlockWeight::from_inner(table)),
            #[cfg(feature = "cube")]
            EmbeddingWeight::Planes(table) => Self::Planes(PlaneWeight::from_inner(table)),
        }
    }
}

impl<B: Backend> ModuleDisplayDefault for EmbeddingWeight<B> {
    fn content(&self, content: Content) -> Option<Content> {
        match self {
            Self::Dense(table) => table.content(content),
            #[cfg(feature = "flex")]
            Self::Blocks(table) => {
                let (format, shape) = (table.block_type(), self.lazy_shape());
                let shape = format!("{format} {{shape: {shape:?}}}");
                content.add_formatted(&shape).optional()
            }
            #[cfg(feature = "cube")]
            Self::Planes(table) => {
                let (format, shape) = (table.block_type(), self.lazy_shape());
                let shape = format!("{format} {{shape: {shape:?}}}");
                content.add_formatted(&shape).optional()
            }
        }
    }
}

impl<B: Backend> ModuleDisplay for EmbeddingWeight<B> {}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::blocks::BlockType;
    use crate::testing::random;
    use burn_flex::Flex;

    #[test]
    fn tables_in_blocks_are_those_in_floats() {
        let device = Default::default();
        let values = random::<Flex, 2>([50, 64], 5, &device).into_data();
        let values = values.to_vec::<f32>().unwrap();
        let blocks = Blocks::quantize(BlockType::Q8_0, [50, 64], &values).unwrap();
        let blocks = Embedding::<Flex> {
            weight: EmbeddingWeight::from_blocks(&blocks, &device),
        };
        let floats = Embedding {
            weight: Param::from_tensor(blocks.weight.val()).into(),
        };
        assert_eq!(blocks.weight.lazy_shape().dims(), [50, 64]);
        assert!(blocks.weight.dense().is_none() && blocks.weight.is_initialized());
        let [none, all] = [&blocks, &floats].map(Module::num_params);
        assert_eq!((none, all), (0, 50 * 64));
        let ids = Tensor::<Flex, 2, Int>::from_data([[3, 49, 0], [7, 7, 1]], &device);
        let found = blocks.forward(ids.clone());
        assert_eq!(found.into_data(), floats.forward(ids).into_data());
        let x = random::<Flex, 3>([1, 4, 64], 6, &device);
        let apart = blocks.scores(x.clone()) - floats.scores(x);
        assert!(apart.abs().max().into_scalar() < 0.2);
        let grown = blocks
            .weight
            .map_values(|table| table.map(|x| x.repeat_dim(0, 2)));
        assert_eq!(grown.lazy_shape().dims(), [100, 64]);
    }
}
