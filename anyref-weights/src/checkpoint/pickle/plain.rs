//! Plain data of a pickle (numbers, texts, lists, dictionaries) for serde.

use std::cell::Cell;
use std::path::Path;

use serde::de::value::{Error as DataError, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};

use super::super::file::DataFile;
use super::machine;
use super::{Input, Node, Pickle, Value};
use crate::error::{Error, Result};

/// Maximum nesting of lists and dictionaries.
const MAX_DEPTH: usize = 64;
/// Maximum values returned per byte of the file; shared values count each time they are reached.
const MAX_SHARING: u64 = 8;

/// Reads a pickle of plain data, the form of annotations published in Python, into any type that
/// serde supports. Nothing is executed: a pickle that names a Python object is rejected.
///
/// # Errors
/// [`Error::ForeignData`] when the pickle names an object, [`Error::Corrupt`] when it is damaged or
/// does not match `T`.
pub fn read_plain_pickle<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T> {
    let path = path.as_ref();
    let file = DataFile::open(path)?;
    let pickle = machine::read(&mut Input::plain(&file))?;
    let left = Cell::new(file.len().saturating_mul(MAX_SHARING));
    let root = Cursor {
        pickle: &pickle,
        left: &left,
        value: pickle.root,
        depth: 0,
    };
    T::deserialize(root).map_err(|reason| Error::corrupt(path, reason.to_string()))
}

/// Value with its depth and the remaining budget of values.
#[derive(Clone, Copy)]
struct Cursor<'p> {
    pickle: &'p Pickle,
    left: &'p Cell<u64>,
    value: Value,
    depth: usize,
}

impl Cursor<'_> {
    fn child(&self, value: Value) -> Self {
        Self {
            value,
            depth: self.depth + 1,
            ..*self
        }
    }
}

impl<'p> IntoDeserializer<'p, DataError> for Cursor<'p> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Cursor<'de> {
    type Error = DataError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
        let left = self
            .left
            .get()
            .checked_sub(1)
            .filter(|_| self.depth <= MAX_DEPTH);
        self.left.set(
            left.ok_or_else(|| DataError::custom("the pickle holds itself, or shares too much"))?,
        );
        match self.value {
            Value::None => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Node(_) => match self.pickle.node(self.value) {
                Some(Node::Text(text)) => visitor.visit_borrowed_str(text),
                Some(Node::List(items) | Node::Tuple(items)) => {
                    let items = items.iter().map(|&item| self.child(item));
                    visitor.visit_seq(SeqDeserializer::new(items))
                }
                Some(Node::Dict(pairs)) => {
                    let pairs = pairs.iter();
                    let pairs = pairs.map(|&(key, value)| (self.child(key), self.child(value)));
                    visitor.visit_map(MapDeserializer::new(pairs))
                }
                _ => Err(DataError::custom(
                    "the pickle holds an object that is not plain data",
                )),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
        match self.value {
            Value::None => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DataError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier
    }
}
