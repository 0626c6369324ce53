//! Metadata of a GGUF file: values by key.

use std::collections::BTreeMap;

use super::cursor::Cursor;
use crate::error::Result;

/// Value of a key.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// Unsigned integer of any width.
    Unsigned(u64),
    /// Signed integer of any width.
    Signed(i64),
    /// Float of either width.
    Float(f64),
    /// Boolean.
    Bool(bool),
    /// Text.
    Text(String),
    /// Array of values of one type.
    Array(GgufArray),
}

/// Array of values of one type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GgufArray {
    /// Integers of any type, all within `i64`.
    Integers(Vec<i64>),
    /// Eight-bit integers or booleans.
    Bytes(Vec<u8>),
    /// Floats of either width.
    Floats(Vec<f64>),
    /// Texts.
    Texts(Vec<String>),
}

impl GgufArray {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Integers(values) => values.len(),
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }

    /// Returns whether the array is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Metadata of a GGUF file: values by key.
#[derive(Debug, Clone, Default)]
pub struct GgufMetadata {
    values: BTreeMap<String, GgufValue>,
}

impl GgufMetadata {
    /// Reads `count` keys and values.
    pub(super) fn read(cursor: &mut Cursor<'_>, count: usize) -> Result<Self> {
        let mut values = BTreeMap::new();
        for _ in 0..count {
            let key = cursor.name("a key")?;
            let value = value(cursor, &key)?;
            if values.insert(key.clone(), value).is_some() {
                return Err(cursor.corrupt(format!("the key `{key}` is there twice")));
            }
        }
        Ok(Self { values })
    }

    /// Keys and values, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &GgufValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Value of a key.
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.values.get(key)
    }

    /// Text of a key, or `None` if the value is missing or of another type.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            GgufValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Non-negative integer of a key, or `None` if the value is missing or of another type.
    pub fn integer(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            GgufValue::Unsigned(value) => Some(*value),
            GgufValue::Signed(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// Float of a key, or `None` if the value is missing or of another type.
    pub fn float(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            GgufValue::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// Boolean of a key, or `None` if the value is missing or of another type.
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            GgufValue::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Texts of a key, or `None` if the value is missing or of another type.
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        match self.get(key)? {
            GgufValue::Array(GgufArray::Texts(texts)) => Some(texts),
            _ => None,
        }
    }

    /// Integers of a key, or `None` if the value is missing or of another type.
    pub fn integers(&self, key: &str) -> Option<&[i64]> {
        match self.get(key)? {
            GgufValue::Array(GgufArray::Integers(values)) => Some(values),
            _ => None,
        }
    }

    /// Floats of a key, or `None` if the value is missing or of another type.
    pub fn floats(&self, key: &str) -> Option<&[f64]> {
        match self.get(key)? {
            GgufValue::Array(GgufArray::Floats(values)) => Some(values),
            _ => None,
        }
    }
}

/// Type of a value, by its number in the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Type {
    fn read(cursor: &mut Cursor<'_>, key: &str) -> Result<Self> {
        const TYPES: [Type; 13] = [
            Type::U8,
            Type::I8,
            Type::U16,
            Type::I16,
            Type::U32,
            Type::I32,
            Type::F32,
            Type::Bool,
            Type::Text,
            Type::Array,
            Type::U64,
            Type::I64,
            Type::F64,
        ];
        let number = cursor.u32()?;
        let known = TYPES.get(number as usize).copied();
        known.ok_or_else(|| cursor.corrupt(format!("the key `{key}` has the type {number}")))
    }

    /// Minimum bytes of a value.
    fn least_bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }
}

fn value(cursor: &mut Cursor<'_>, key: &str) -> Result<GgufValue> {
    let of_type = Type::read(cursor, key)?;
    Ok(match of_type {
        Type::U8 => GgufValue::Unsigned(u8::from_le_bytes(cursor.array()?).into()),
        Type::U16 => GgufValue::Unsigned(u16::from_le_bytes(cursor.array()?).into()),
        Type::U32 => GgufValue::Unsigned(cursor.u32()?.into()),
        Type::U64 => GgufValue::Unsigned(cursor.u64()?),
        Type::F32 | Type::F64 => GgufValue::Float(float(cursor, of_type)?),
        Type::Bool => match cursor.array()? {
            [0] => GgufValue::Bool(false),
            [1] => GgufValue::Bool(true),
            [other] => {
                let reason = format!("the key `{key}` is neither false nor true but {other}");
                return Err(cursor.corrupt(reason));
            }
        },
        Type::Text => GgufValue::Text(cursor.text()?),
        Type::Array => GgufValue::Array(array(cursor, key)?),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => {
            let value = integer(cursor, of_type)?;
            GgufValue::Signed(value.expect("integers with a sign fit"))
        }
    })
}

fn float(cursor: &mut Cursor<'_>, of_type: Type) -> Result<f64> {
    Ok(match of_type {
        Type::F32 => f32::from_le_bytes(cursor.array()?).into(),
        _ => f64::from_le_bytes(cursor.array()?),
    })
}

/// Reads an integer of any type; `None` for an unsigned one that exceeds `i64`.
fn integer(cursor: &mut Cursor<'_>, of_type: Type) -> Result<Option<i64>> {
    Ok(Some(match of_type {
        Type::I8 => i8::from_le_bytes(cursor.array()?).into(),
        Type::U16 => u16::from_le_bytes(cursor.array()?).into(),
        Type::I16 => i16::from_le_bytes(cursor.array()?).into(),
        Type::U32 => cursor.u32()?.into(),
        Type::I32 => i32::from_le_bytes(cursor.array()?).into(),
        Type::U64 => return Ok(i64::try_from(cursor.u64()?).ok()),
        _ => i64::from_le_bytes(cursor.array()?),
    }))
}

fn array(cursor: &mut Cursor<'_>, key: &str) -> Result<GgufArray> {
    let of_type = Type::read(cursor, key)?;
    let count = cursor.count(of_type.least_bytes())?;
    Ok(match of_type {
        Type::U8 | Type::I8 | Type::Bool => GgufArray::Bytes(cursor.bytes(count as u64)?.to_vec()),
        Type::F32 | Type::F64 => {
            let values = (0..count).map(|_| float(cursor, of_type));
            GgufArray::Floats(values.collect::<Result<_>>()?)
        }
        Type::Text => {
            let texts = (0..count).map(|_| cursor.text());
            GgufArray::Texts(texts.collect::<Result<_>>()?)
        }
        Type::Array => {
            return Err(cursor.corrupt(format!("the key `{key}` is an array of arrays")));
        }
        _ => {
            let mut values = Vec::new();
            for _ in 0..count {
                let value = integer(cursor, of_type)?;
                let large = || format!("the key `{key}` has an integer above 2^63");
                values.push(value.ok_or_else(|| cursor.corrupt(large()))?);
            }
            GgufArray::Integers(values)
        }
    })
}
