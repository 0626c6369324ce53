//! Reader of PyTorch's pickles, and of pickles of plain data.
//!
//! A pickle is a program that can call anything. This reader calls nothing: it knows the few names
//! that a table of tensors needs ([`Global`]), builds their results itself, and rejects any other
//! name as soon as it is mentioned. All values live in one arena, so that neither depth nor sharing
//! costs more than the pickle's own length.

mod calls;
mod input;
mod machine;
mod plain;

use burn::tensor::{BoolStore, DType};

pub(super) use input::Input;
pub(super) use machine::read;
pub use plain::read_plain_pickle;

/// Value: small ones in place, others by position in the arena.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// `None`, and values that are never used here, such as bytes.
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Node(usize),
}

/// Value in the arena.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Global(Global),
    Storage(usize),
    Tensor(Tensor),
}

/// Names that a pickle may mention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    /// `torch._utils._rebuild_tensor[_v2]`; its first arguments are storage, offset, shape and
    /// strides.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter[_with_state]`; its first argument is the tensor.
    RebuildParameter,
    /// `torch._tensor._rebuild_from_type_v2`; its arguments are a function, a type and the
    /// function's arguments.
    RebuildFromType,
    Storage(DType),
    /// Types and constants that do not affect values.
    Inert,
}

impl Global {
    /// Looks up a known name.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildFromType,
            ("torch" | "torch.cuda", name) if name.ends_with("Storage") => {
                Self::Storage(storage_dtype(name)?)
            }
            ("torch.nn.parameter", "Parameter")
            | ("torch", "Tensor" | "Size" | "device")
            | ("builtins" | "__builtin__", "set")
            | (
                "torch",
                "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "int16"
                | "int8" | "uint8" | "bool",
            ) => Self::Inert,
            _ => return None,
        })
    }
}

fn storage_dtype(name: &str) -> Option<DType> {
    Some(match name {
        "DoubleStorage" => DType::F64,
        "FloatStorage" => DType::F32,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool(BoolStore::Native),
        _ => return None,
    })
}

/// Run of elements in the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Storage {
    pub(super) key: String,
    pub(super) dtype: DType,
    pub(super) elements: u64,
}

/// View of a storage, in elements, within the bounds of the storage.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) storage: usize,
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// Parsed pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) nodes: Vec<Node>,
    pub(super) storages: Vec<Storage>,
    pub(super) root: Value,
}

impl Pickle {
    /// Arena entry of `value`, if it has one.
    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(i) => self.nodes.get(i),
            _ => None,
        }
    }

    /// Text of `value`, if it is one.
    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.node(value) {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }
}
