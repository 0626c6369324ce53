//! Formats of blocks in configurations, by their names in options.

use anyref_core::quantization::{BlockType, written_block_type};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(
    block_type: &Option<BlockType>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match block_type {
        Some(block_type) => serializer.serialize_str(&block_type.name().to_lowercase()),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BlockType>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    let block_type = name.map(|name| written_block_type(&name)).transpose();
    block_type.map_err(|error| D::Error::custom(format!("`quantize`: {error}")))
}
