//! Configuration of adapters, `adapter_config.json`.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::lora::LoraConfig;

/// Fields without effect on the output of a saved adapter.
const WITHOUT_EFFECT: [&str; 10] = [
    "auto_mapping",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    // Fields that its values would change are rejected under their own names.
    "loftq_config",
];

/// Initialisations that leave the base model unchanged.
const PLAIN_INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// Configuration of an adapter folder: LoRA of any rank and scaling without biases.
#[derive(Debug, Clone, PartialEq)]
pub struct PeftConfig {
    /// Rank, scaling and targets. If the file gives a pattern instead of a list, the targets are
    /// empty here and follow from the adapter's tensors.
    pub lora: LoraConfig,
    /// Modules that the adapter holds whole, by the end of their names.
    pub modules_to_save: Vec<String>,
    /// Model that the adapter was trained on.
    pub base_model: Option<String>,
    /// Task type, such as `CAUSAL_LM`.
    pub task_type: Option<String>,
}

impl LoraConfig {
    /// Parses PEFT's `adapter_config.json`; variants of LoRA are rejected by name. See
    /// [`PeftConfig`] for the complete configuration.
    ///
    /// # Errors
    /// When the configuration is not [valid](Self::validate), for instance with a pattern in place
    /// of a list of `target_modules`, which names no projection; also see
    /// [`PeftConfig::from_json`].
    pub fn from_peft(json: &str) -> Result<Self> {
        let config = PeftConfig::from_json(json, "adapter_config.json")?.lora;
        config.validate()?;
        Ok(config)
    }
}

impl PeftConfig {
    /// Parses an `adapter_config.json`; `what` names it in errors.
    ///
    /// # Errors
    /// When the text is not JSON, not a LoRA configuration, or sets an unsupported field that would
    /// change the result; the error names the field.
    pub fn from_json(json: &str, what: &str) -> Result<Self> {
        let failed = |source| Error::Json {
            what: what.to_owned(),
            source,
        };
        let mut fields: Map<String, Value> = serde_json::from_str(json).map_err(failed)?;
        let mut taken = |name: &str| fields.remove(name).filter(|value| !value.is_null());
        if let Some(kind) = taken("peft_type").filter(|kind| kind != "LORA") {
            return refuse("peft_type", format!("is {kind}: only LORA is supported"));
        }
        if let Some(bias) = taken("bias").filter(|bias| bias != "none") {
            return refuse("bias", format!("is {bias}: only \"none\" is supported"));
        }
        if let Some(Value::String(name)) = taken("init_lora_weights")
            && !PLAIN_INITIALISATIONS.contains(&name.as_str())
        {
            return refuse(
                "init_lora_weights",
                format!(
                    "is {name:?}, which changes the base model: convert it to a plain LoRA in peft"
                ),
            );
        }
        let modules = taken("modules_to_save").unwrap_or_else(|| json!([]));
        let text = |value: Option<Value>| value.and_then(|v| v.as_str().map(str::to_owned));
        let (base_model, task_type) = (
            text(taken("base_model_name_or_path")),
            text(taken("task_type")),
        );
        let targets = match taken("target_modules") {
            Some(Value::String(_)) => json!([]),
            other => other.unwrap_or(Value::Null),
        };
        let mut lora = json!({ "target_modules": targets });
        for name in ["r", "lora_alpha", "lora_dropout", "use_rslora"] {
            if let Some(value) = taken(name) {
                lora[name] = value;
            }
        }
        // LoraConfig also accepts these aliases.
        for (name, alias) in [("lora_alpha", "alpha"), ("lora_dropout", "dropout")] {
            if let Some(value) = taken(alias) {
                lora[name] = value;
            }
        }
        let other = fields
            .iter()
            .find(|(name, value)| !WITHOUT_EFFECT.contains(&name.as_str()) && !is_unset(value));
        if let Some((name, value)) = other {
            return refuse(name, format!("is {value}, which is not supported"));
        }
        Ok(Self {
            lora: serde_json::from_value(lora).map_err(failed)?,
            modules_to_save: serde_json::from_value(modules).map_err(failed)?,
            base_model,
            task_type,
        })
    }

    /// Serialises the configuration as an `adapter_config.json` that peft reads.
    pub fn to_json(&self) -> String {
        let modules = (!self.modules_to_save.is_empty()).then_some(&self.modules_to_save);
        let fields = json!({
            "peft_type": "LORA",
            "task_type": self.task_type,
            "base_model_name_or_path": self.base_model,
            "inference_mode": true,
            "r": self.lora.r,
            "lora_alpha": self.lora.alpha,
            "lora_dropout": self.lora.dropout,
            "use_rslora": self.lora.use_rslora,
            "target_modules": self.lora.target_modules,
            "modules_to_save": modules,
            "bias": "none",
            "fan_in_fan_out": false,
            "init_lora_weights": true,
        });
        format!("{fields:#}\n")
    }
}

fn refuse<T>(field: &str, reason: String) -> Result<T> {
    Err(Error::Lora {
        field: field.into(),
        reason,
    })
}

/// Returns whether a value disables its field.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    }
}
