//! Chat templates of model folders: the Jinja templates of transformers' `apply_chat_template`.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, ErrorKind, Output, State, Value, context, escape_formatter};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tokenizer::file::{parse, read};

/// File that holds the template in most folders, as `chat_template`.
const CONFIG: &str = "tokenizer_config.json";
/// File of the template alone, in folders of transformers 4.51 and later.
const FILE: &str = "chat_template.jinja";
/// Maximum bytes of a template; published ones have up to 20 kB.
const LONGEST: usize = 1 << 20;
/// Limit of one rendering in minijinja's fuel: one for each instruction and one for each 64 bytes.
/// A conversation of 1000 turns takes about 50 000.
const FUEL: u64 = 1_000_000;

/// Message of a conversation, as templates receive it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// Words of the message.
    pub content: String,
}

impl ChatMessage {
    /// Creates a message of a role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// Chat template, with the special tokens that it may name (`bos_token` and so on). The output
/// equals that of transformers; the work of one rendering is bounded. The clock (`strftime_now`) is
/// undefined, and the tag `generation` is not supported.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    special_tokens: BTreeMap<String, String>,
    what: String,
}

/// Fields of `tokenizer_config.json` that templates depend on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    chat_template: Option<Templates>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    unk_token: Option<Token>,
    pad_token: Option<Token>,
}

/// Single template, or several by name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<Named>),
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    template: String,
}

/// Special token as text, or as an object with `content`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Added { content: String },
}

impl ChatTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// When the template is longer than 1 MiB or not supported Jinja.
    pub fn new(source: impl Into<String>) -> Result<Self> {
        Self::named(source.into(), "text".into())
    }

    /// Reads the template of a model folder: `chat_template.jinja`, or else `chat_template` of
    /// `tokenizer_config.json` (of several, the one called `default`). Returns `None` if neither
    /// exists.
    ///
    /// # Errors
    /// When a file cannot be read; also see [`new`](Self::new).
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Option<Self>> {
        let folder = folder.as_ref();
        let (path, file) = (folder.join(CONFIG), folder.join(FILE));
        let config: Config = match path.exists() {
            true => parse(&path)?,
            false => Config::default(),
        };
        let found = if file.exists() {
            let text = String::from_utf8(read(&file)?);
            let text = text.map_err(|_| problem(&file.display().to_string(), "is not UTF-8"))?;
            Some((file, text))
        } else {
            let text = match config.chat_template {
                Some(Templates::One(text)) => Some(text),
                Some(Templates::Named(all)) => all
                    .into_iter()
                    .find(|named| named.name == "default")
                    .map(|named| named.template),
                None => None,
            };
            text.map(|text| (path, text))
        };
        let Some((path, text)) = found else {
            return Ok(None);
        };
        let mut template = Self::named(text, path.display().to_string())?;
        for (name, token) in [
            ("bos_token", config.bos_token),
            ("eos_token", config.eos_token),
            ("unk_token", config.unk_token),
            ("pad_token", config.pad_token),
        ] {
            if let Some(Token::Text(text) | Token::Added { content: text }) = token {
                template.special_tokens.insert(name.into(), text);
            }
        }
        Ok(Some(template))
    }

    /// Sets a special token that the template may use, such as `bos_token`.
    pub fn with_special_token(mut self, name: impl Into<String>, token: impl Into<String>) -> Self {
        self.special_tokens.insert(name.into(), token.into());
        self
    }

    fn named(source: String, what: String) -> Result<Self> {
        if source.len() > LONGEST {
            let size = source.len();
            return Err(problem(
                &what,
                &format!("{size} bytes are too long for a template; take the model's own"),
            ));
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| problem(&what, &error.to_string()))?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.set_formatter(format_as_python);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        environment
            .add_template_owned("template", source)
            .map_err(|error| refusal(&what, &error))?;
        Ok(Self {
            environment,
            special_tokens: BTreeMap::new(),
            what,
        })
    }

    /// Renders the conversation as one string; with `add_generation_prompt` it ends where the
    /// model's answer begins.
    ///
    /// # Errors
    /// When the template rejects the messages, fails, or exceeds the work limit.
    pub fn render(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String> {
        let refuse = |error: minijinja::Error| refusal(&self.what, &error);
        let template = self.environment.get_template("template").map_err(refuse)?;
        let messages = messages.iter().map(|message| {
            let (role, content) = (message.role.as_str(), message.content.as_str());
            Value::from_pairs([("role", role), ("content", content)])
        });
        let tokens = self.special_tokens.iter();
        let tokens = tokens.map(|(name, token)| (name.as_str(), token.as_str()));
        let given = context! {
            messages => messages.collect::<Vec<Value>>(),
            add_generation_prompt => add_generation_prompt,
            tools => Value::from(()),
            documents => Value::from(()),
            ..Value::from_pairs(tokens),
        };
        template.render(given).map_err(refuse)
    }
}

fn problem(what: &str, problem: &str) -> Error {
    Error::ChatTemplate {
        what: what.into(),
        problem: problem.into(),
    }
}

/// Creates an error of the template engine, with its remedy.
fn refusal(what: &str, error: &minijinja::Error) -> Error {
    let line = error.to_string().replace('\n', " ");
    let remedy = match error.kind() {
        ErrorKind::OutOfFuel => "it does not end; take the model's own template",
        ErrorKind::SyntaxError => "take the model's own template",
        _ => "change the messages, or take the model's own template",
    };
    problem(what, &format!("{line}; {remedy}"))
}

/// Writes `None`, `True` and `False` in Python's spelling.
fn format_as_python(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> std::result::Result<(), minijinja::Error> {
    let text = match value.kind() {
        ValueKind::None => "None",
        ValueKind::Bool if value.is_true() => "True",
        ValueKind::Bool => "False",
        _ => return escape_formatter(out, state, value),
    };
    Ok(out.write_str(text)?)
}

/// Rejection of messages by the template itself.
fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

/// Serialises JSON like Python's `json.dumps` with `ensure_ascii` off; `indent` is the only option.
fn to_json(value: Value, options: Kwargs) -> std::result::Result<String, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let failed = |error: serde_json::Error| {
        minijinja::Error::new(ErrorKind::BadSerialization, error.to_string())
    };
    let mut bytes = Vec::new();
    match indent {
        Some(indent) => {
            let spaces = " ".repeat(indent.min(64));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            let mut writer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
            value.serialize(&mut writer).map_err(failed)?;
        }
        None => {
            let mut writer = serde_json::Serializer::with_formatter(&mut bytes, OneLine);
            value.serialize(&mut writer).map_err(failed)?;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Formatter with Python's separators of JSON on one line: `, ` and `: `.
struct OneLine;

impl serde_json::ser::Formatter for OneLine {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
