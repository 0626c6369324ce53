//! Parts that come in several kinds, in a config: the first kind as it has always been written, the
//! others with their `kind` beside their fields.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Name of the field that tells the kind.
const KIND: &str = "kind";

/// A part's fields with its kind beside them.
#[derive(Serialize)]
struct OfKind<'a, T> {
    kind: &'static str,
    #[serde(flatten)]
    part: &'a T,
}

/// Writes a part of another kind than the first.
pub(crate) fn write<S: Serializer>(
    serializer: S,
    kind: &'static str,
    part: &impl Serialize,
) -> Result<S::Ok, S::Error> {
    OfKind { kind, part }.serialize(serializer)
}

/// Kind of a part, none of the first one, and its fields.
///
/// # Errors
/// When the kind is none of those `known`.
pub(crate) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
    known: &'static str,
) -> Result<(bool, Value), D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    let kind = value.as_object_mut().and_then(|part| part.remove(KIND));
    match kind {
        None => Ok((false, value)),
        Some(Value::String(kind)) if kind == known => Ok((true, value)),
        Some(other) => Err(D::Error::custom(format!(
            "kind is {other}: make it \"{known}\", or leave it out"
        ))),
    }
}

/// Fields of a part as its configuration.
///
/// # Errors
/// When one is missing or of another type.
pub(crate) fn fields<T: DeserializeOwned, E: Error>(value: Value) -> Result<T, E> {
    serde_json::from_value(value).map_err(E::custom)
}
