//! Configuration of the model: a preset, a preset with changes, or a full configuration.

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
    // A merge patch (RFC 7396): `"audio": null` is a model without an audio encoder.
    json_patch::merge(&mut config, &given);
    serde_json::from_value(config).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Deserialize)]
    struct Given(#[serde(deserialize_with = "preset_or_config")] AnyRefConfig);

    #[test]
    fn changes_are_merged_into_a_preset_field_by_field() {
        let read = |given: Value| serde_json::from_value::<Given>(given).map(|given| given.0);
        let nano = read(json!("nano")).unwrap();
        assert!(nano.audio.is_some());
        let given = json!({"preset": "nano", "audio": null, "llm": {"rope_theta": 5e5}});
        let changed = read(given).unwrap();
        assert!(changed.audio.is_none());
        assert_eq!(changed.llm.rope_theta, 5e5);
        assert_eq!(changed.llm.hidden_size, nano.llm.hidden_size);
        for (given, word) in [
            (json!({"preset": "nano", "eyes": 2}), "eyes"),
            (json!({"preset": 3}), "not a name"),
            (json!("giant"), "giant"),
        ] {
            let error = read(given).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
