//! Weight of the joint projection to queries, keys and values.

use anyref_ops::linear;
use anyref_ops::nn::{Linear, LinearWeight};
use burn::module::{
    AutodiffModule, Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param,
};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor};

/// Weight of a projection that PyTorch keeps as a parameter by itself, output dimension first.
///
/// Visitors and mappers of modules see the floats as one parameter, and nothing of a rounded
/// weight, which they neither train, cast nor save. burn's records store both as floats.
#[derive(Debug, Clone)]
pub enum JointWeight<B: Backend> {
    /// Floats, `[outputs, inputs]`.
    Floats(Param<Tensor<B, 2>>),
    /// Integers or blocks, `[inputs, outputs]` as that of a linear layer.
    Rounded(LinearWeight<B>),
}

impl<B: Backend> JointWeight<B> {
    /// Values as floats, `[outputs, inputs]`; a rounded weight is widened at each call.
    pub fn val(&self) -> Tensor<B, 2> {
        match self {
            Self::Floats(param) => param.val(),
            Self::Rounded(weight) => weight.val().transpose(),
        }
    }

    /// Shape `[outputs, inputs]`, without initialising a lazy parameter.
    pub fn dims(&self) -> [usize; 2] {
        match self {
            Self::Floats(param) => param.lazy_shape().dims(),
            Self::Rounded(weight) => {
                let [inputs, outputs] = weight.dims();
                [outputs, inputs]
            }
        }
    }

    /// Returns whether products may round their input, as
    /// [`LinearWeight::rounds_inputs`](anyref_ops::nn::LinearWeight::rounds_inputs) says.
    pub fn rounds_inputs(&self) -> bool {
        match self {
            Self::Floats(param) => param.val().dtype() == DType::BF16,
            Self::Rounded(weight) => weight.rounds_inputs(),
        }
    }

    /// Device of the values, found without initialising a lazy parameter.
    pub fn device(&self) -> B::Device {
        match self {
            Self::Floats(param) => param.lazy_device(),
            Self::Rounded(weight) => weight.device(),
        }
    }

    /// Parameter of floats, `[outputs, inputs]`.
    pub fn floats(&self) -> Option<&Param<Tensor<B, 2>>> {
        match self {
            Self::Floats(param) => Some(param),
            Self::Rounded(_) => None,
        }
    }

    /// Rounded weight.
    pub fn rounded(&self) -> Option<&LinearWeight<B>> {
        match self {
            Self::Floats(_) => None,
            Self::Rounded(weight) => Some(weight),
        }
    }

    /// Computes the projection.
    ///
    /// # Shapes
    /// - x: `[.., inputs]`
    /// - bias: `[outputs]`
    /// - output: `[.., outputs]`
    pub(super) fn product<const D: usize>(
        &self,
        x: Tensor<B, D>,
        bias: &Param<Tensor<B, 1>>,
    ) -> Tensor<B, D> {
        match self {
            Self::Floats(param) => linear(x, param.val().transpose(), Some(bias.val())),
            Self::Rounded(weight) => {
                let (weight, bias) = (weight.clone(), Some(bias.clone()));
                Linear { weight, bias }.forward(x)
            }
        }
    }
}

impl<B: AutodiffBackend> JointWeight<B> {
    /// Gradient of floats, `[outputs, inputs]`; `None` for a rounded weight, and if no gradient
    /// reached it.
    pub fn grad(&self, gradients: &B::Gradients) -> Option<Tensor<B::InnerBackend, 2>> {
        self.floats()?.val().grad(gradients)
    }
}

impl<B: Backend> Module<B> for JointWeight<B> {
    type Record = Param<Tensor<B, 2>>;

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        if let Self::Floats(param) = self {
            param.visit(visitor);
        }
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        match self {
            Self::Floats(param) => {
                Self::Floats(<Param<Tensor<B, 2>> as Module<B>>::map(param, mapper))
            }
            rounded => rounded,
        }
    }

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        match self {
            Self::Floats(param) => param.collect_devices(devices),
            Self::Rounded(weight) => weight.collect_devices(devices),
        }
    }

    fn fork(self, device: &B::Device) -> Self {
        match self {
            Self::Floats(param) => Self::Floats(param.fork(device)),
            Self::Rounded(weight) => Self::Rounded(weight.fork(device)),
        }
    }

    fn to_device(self, device: &B::Device) -> Self {
        match self {
            Self::Floats(param) => Self::Floats(param.to_device(device)),
            Self::Rounded(weight) => Self::Rounded(weight.to_device(device)),
        }
    }

    fn load_record(self, record: Self::Record) -> Self {
        Self::Floats(match self {
            Self::Floats(param) => param.load_record(record),
            Self::Rounded(weight) => record.to_device(&weight.device()),
        })
    }

    fn into_record(self) -> Self::Record {
        match self {
            Self::Floats(param) => param.into_record(),
            rounded => Param::from_tensor(rounded.val()),
        }
    }
}

impl<B: AutodiffBackend> AutodiffModule<B> for JointWeight<B> {
    type InnerModule = JointWeight<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        match self {
            Self::Floats(param) => JointWeight::Floats(param.valid()),
            Self::Rounded(weight) => JointWeight::Rounded(weight.valid()),
        }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        match module {
            JointWeight::Floats(param) => Self::Floats(<Param<Tensor<B, 2>> as AutodiffModule<
                B,
            >>::from_inner(param)),
            JointWeight::Rounded(weight) => {
                Self::Rounded(<LinearWeight<B> as AutodiffModule<B>>::from_inner(weight))
            }
        }
    }
}

impl<B: Backend> ModuleDisplayDefault for JointWeight<B> {
    fn content(&self, content: Content) -> Option<Content> {
        match self {
            Self::Floats(param) => param.content(content),
            Self::Rounded(weight) => weight.content(content),
        }
    }
}

impl<B: Backend> ModuleDisplay for JointWeight<B> {}
