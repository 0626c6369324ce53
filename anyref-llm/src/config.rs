//! Size and variant of a LLaMA, a Qwen 2 or 3, or an InternLM 2, with the fields of Hugging Face's
//! `config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Scaling of rotary frequencies for contexts longer than the pretrained one (`rope_scaling`, or
/// `rope_parameters` in newer files).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenRopeScaling")]
pub struct RopeScaling {
    /// `default`, `linear`, `dynamic` or `llama3`.
    pub rope_type: String,
    /// Factor by which the context is extended.
    pub factor: f64,
    /// `llama3`: a frequency with fewer turns than this over the original context is divided by
    /// `factor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_freq_factor: Option<f64>,
    /// `llama3`: a frequency with more turns than this over the original context is unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_freq_factor: Option<f64>,
    /// `llama3`: length of the pretrained context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_max_position_embeddings: Option<usize>,
    /// Base of the frequencies, where a file states it here; takes precedence over
    /// [`LlamaConfig::rope_theta`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
}

/// [`RopeScaling`] as stored in files; some versions of transformers write the type under both of
/// its names.
#[derive(Deserialize)]
struct WrittenRopeScaling {
    rope_type: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default = "one")]
    factor: f64,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    rope_theta: Option<f64>,
}

fn one() -> f64 {
    1.0
}

impl From<WrittenRopeScaling> for RopeScaling {
    fn from(written: WrittenRopeScaling) -> Self {
        let kind = written.rope_type.or(written.kind);
        Self {
            rope_type: kind.unwrap_or_else(|| "default".into()),
            factor: written.factor,
            low_freq_factor: written.low_freq_factor,
            high_freq_factor: written.high_freq_factor,
            original_max_position_embeddings: written.original_max_position_embeddings,
            rope_theta: written.rope_theta,
        }
    }
}

/// Configuration of a [`Llama`](crate::Llama). Field names and defaults are those of transformers'
/// `LlamaConfig`; unknown fields of a `config.json` are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LlamaConfig {
    /// Size of the vocabulary, including added tokens.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward network.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub num_hidden_layers: usize,
    /// Number of query heads.
    pub num_attention_heads: usize,
    /// Number of key/value heads; defaults to the number of query heads.
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; defaults to `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Activation of the feed-forward network; only `silu` is supported.
    pub hidden_act: String,
    /// Maximum length of a sequence.
    pub max_position_embeddings: usize,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Term added to the mean square in each RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Rotary scaling for long contexts.
    #[serde(alias = "rope_parameters", skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Adds biases to all four attention projections.
    pub attention_bias: bool,
    /// Adds biases to the projections of queries, keys and values but not to that of the output, as
    /// in Qwen 2; [`attention_bias`](Self::attention_bias) adds them to all four.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub qkv_bias: bool,
    /// Adds biases to the three feed-forward projections.
    pub mlp_bias: bool,
    /// Normalises each head of queries and keys before it is rotated, as in Qwen 3.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub qk_norm: bool,
    /// Uses the transposed embedding table as the output head.
    pub tie_word_embeddings: bool,
}

impl Default for LlamaConfig {
    fn default() -> Self {
        Self {
            vocab_size: 32_000,
            hidden_size: 4096,
            intermediate_size: 11_008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: "silu".into(),
            max_position_embeddings: 2048,
            initializer_range: 0.02,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: None,
            attention_bias: false,
            qkv_bias: false,
            mlp_bias: false,
            qk_norm: false,
            tie_word_embeddings: false,
        }
    }
}

impl LlamaConfig {
    /// Configuration of LLaMA-7B.
    pub fn llama_7b() -> Self {
        Self::default()
    }

    /// Configuration small enough for tests.
    pub fn tiny() -> Self {
        Self {
            vocab_size: 128,
            hidden_size: 32,
            intermediate_size: 64,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: Some(2),
            max_position_embeddings: 128,
            ..Self::default()
        }
    }

    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// When the file cannot be read; also see [`from_json`](Self::from_json).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses and checks the text of a `config.json`. With the `model_type` `qwen2` the projections
    /// of queries, keys and values have biases; with `qwen3` queries and keys are normalised, and
    /// heads are 128 wide unless stated; with `internlm2` the field `bias`, by default on, adds
    /// biases to all four projections.
    ///
    /// # Errors
    /// When the text is not JSON, a field is of another type, or the configuration is not
    /// [valid](Self::validate).
    pub fn from_json(json: &str) -> Result<Self> {
        Self::parse(json, "LLaMA config")
    }

    fn parse(json: &str, what: &str) -> Result<Self> {
        let failed = |source| Error::Json {
            what: what.to_owned(),
            source,
        };
        let mut config: Self = serde_json::from_str(json).map_err(failed)?;
        let Family { model_type } = serde_json::from_str(json).map_err(failed)?;
        let is = |name: &str| model_type.as_ref().is_some_and(|kind| kind == name);
        if is(QWEN_2) || is(QWEN_3) {
            let window: SlidingWindow = serde_json::from_str(json).map_err(failed)?;
            window.check()?;
        }
        if is(QWEN_2) {
            // Qwen 2's class has these biases without a field for them.
            config.qkv_bias = true;
        }
        if is(QWEN_3) {
            config.qk_norm = true;
            config.head_dim = config.head_dim.or(Some(QWEN_3_HEAD));
        }
        if is(INTERN_LM_2) {
            let InternLm2 { bias } = serde_json::from_str(json).map_err(failed)?;
            config.attention_bias = bias.unwrap_or(true);
        }
        config.validate()?;
        Ok(config)
    }

    /// Number of key/value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_width(&self) -> usize {
        self.head_dim
            .unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Base of the rotary frequencies.
    pub fn theta(&self) -> f64 {
        let stated = self
            .rope_scaling
            .as_ref()
            .and_then(|scaling| scaling.rope_theta);
        stated.unwrap_or(self.rope_theta)
    }

    /// Checks that a model of this configuration can be built and is supported.
    ///
    /// # Errors
    /// When a size is 0, the width of a head is odd, the key/value heads do not divide the heads,
    /// or, without `head_dim`, the heads do not divide the width; when `hidden_act`, `rope_theta`
    /// or `rope_scaling` is not supported. The error names the field.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, reason: String| Err(Error::Config { field, reason });
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.kv_heads()),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            if value == 0 {
                return fail(field, "must be positive".into());
            }
        }
        if self.head_dim.is_none() && !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return fail(
                "hidden_size",
                format!(
                    "{} is not a multiple of num_attention_heads; take the model's own config.json",
                    self.hidden_size
                ),
            );
        }
        if !self.num_attention_heads.is_multiple_of(self.kv_heads()) {
            return fail(
                "num_key_value_heads",
                format!(
                    "{} does not divide num_attention_heads; take the model's own config.json",
                    self.kv_heads()
                ),
            );
        }
        if self.head_width() == 0 || !self.head_width().is_multiple_of(2) {
            return fail("head_dim", format!("{} must be even", self.head_width()));
        }
        if self.hidden_act != "silu" {
            return fail(
                "hidden_act",
                format!("`{}` is not supported, only silu", self.hidden_act),
            );
        }
        if !(self.theta() > 1.0 && self.theta().is_finite()) {
            return fail("rope_theta", format!("{} must be above 1", self.theta()));
        }
        self.rope_scaling
            .as_ref()
            .map_or(Ok(()), RopeScaling::validate)
    }
}

/// `model_type` of Qwen 2 and 2.5.
const QWEN_2: &str = "qwen2";

/// `model_type` of Qwen 3.
const QWEN_3: &str = "qwen3";
/// Width of Qwen 3's heads in files without it.
const QWEN_3_HEAD: usize = 128;
/// `model_type` of InternLM 2 and 2.5.
const INTERN_LM_2: &str = "internlm2";

/// Field of an InternLM 2 that LLaMA has by another name.
#[derive(Deserialize)]
struct InternLm2 {
    bias: Option<bool>,
}

/// Field of a `config.json` that names the class of transformers.
#[derive(Deserialize)]
struct Family {
    model_type: Option<serde_json::Value>,
}

/// Fields of a Qwen 2 or 3 that restrict the attention span of its layers.
#[derive(Deserialize)]
struct SlidingWindow {
    use_sliding_window: Option<bool>,
    layer_types: Option<Vec<String>>,
}

impl SlidingWindow {
    /// Rejects a model with sliding-window attention.
    fn check(&self) -> Result<()> {
        let mut layers = self.layer_types.iter().flatten();
        let windowed = layers.any(|kind| kind != "full_attention");
        if !windowed && self.use_sliding_window != Some(true) {
            return Ok(());
        }
        Err(Error::Config {
            field: "use_sliding_window",
            reason: "is on, and only full attention is supported; take a model without it".into(),
        })
    }
}

impl RopeScaling {
    /// Scaling of type `dynamic`: frequencies are unchanged up to `max_position_embeddings`
    /// positions; beyond it their base grows with the length.
    pub fn dynamic(factor: f64) -> Self {
        Self {
            rope_type: "dynamic".into(),
            factor,
            low_freq_factor: None,
            high_freq_factor: None,
            original_max_position_embeddings: None,
            rope_theta: None,
        }
    }

    fn validate(&self) -> Result<()> {
        let fail = |reason: String| {
            Err(Error::Config {
                field: "rope_scaling",
                reason,
            })
        };
        if !(self.factor >= 1.0 && self.factor.is_finite()) {
            return fail(format!("factor {} must be at least 1", self.factor));
        }
        match self.rope_type.as_str() {
            "default" | "linear" | "dynamic" => Ok(()),
            "llama3" => match (
                self.low_freq_factor,
                self.high_freq_factor,
                self.original_max_position_embeddings,
            ) {
                (Some(low), Some(high), Some(_)) if low > 0.0 && low < high => Ok(()),
                _ => fail(
                    "of type llama3 needs low_freq_factor < high_freq_factor and \
                     original_max_position_embeddings"
                        .into(),
                ),
            },
            other => fail(format!(
                "of type `{other}` is not supported, only default, linear, dynamic and llama3"
            )),
        }
    }
}
