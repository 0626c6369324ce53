//! A model by the name of a preset, with changes, or as a full configuration.

use anyref_core::AnyRefConfig;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads the field `model` of a training configuration.
pub(super) fn preset_or_config<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<AnyRefConfig, D::Error> {
    use serde::de::Error;
    let mut given = Value::deserialize(deserializer)?;
    let preset = match &mut given {
        Value::String(name) => Some(std::mem::take(name)),
        Value::Object(fields) => match fields.remove("preset") {
            Some(Value::String(name)) => Some(name),
            Some(other) => {
                return Err(D::Error::custom(format!("`preset` is {other}, not a name")));
            }
            None => None,
        },
        _ => None,
    };
    let Some(name) = preset else {
        return serde_json::from_value(given).map_err(D::Error::custom);
    };
    let preset = AnyRefConfig::preset(&name).ok_or_else(|| {
        D::Error::custom(format!(
            "there is no preset {name:?}, only nano, anyref-7b and tiny"
        ))
    })?;
    let Value::Object(fields) = &given else {
        return Ok(preset);
    };
    let mut config = serde_json::to_value(preset).map_err(D::Error::custom)?;
    if let Some(unknown) = fields.keys().find(|field| config.get(*field).is_none()) {
        return Err(D::Error::custom(format!("a model has no {unknown:?}")));
    }
    overlay(&mut config, given);
    serde_json::from_value(config).map_err(D::Error::custom)
}

/// Replaces values field by field. Unlike in a merge patch `null` is a value: `"audio": null` is a
/// model without an audio encoder.
fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (field, value) in over {
                overlay(under.entry(field).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}
