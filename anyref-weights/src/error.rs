//! Errors of the crate.

use std::io;
use std::path::{Path, PathBuf};

use anyref_ops::blocks::BlockError;

use crate::hub::HubError;
use crate::report::LoadReport;

/// Result of the crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate. Each message is one line that names the file or tensor and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// File or folder does not exist.
    #[error("{}: no such file or folder; check the path", .0.display())]
    NotFound(PathBuf),

    /// Reading or writing failed.
    #[error("{}: {source}; check permissions and disk space", .path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// Reason given by the system.
        source: io::Error,
    },

    /// File is empty.
    #[error("{}: the file is empty; download it again", .0.display())]
    Empty(PathBuf),

    /// File starts with zero bytes only.
    #[error("{}: the file is filled with zeros, as an interrupted download leaves it; download it again", .0.display())]
    ZeroFilled(PathBuf),

    /// File is a git-lfs pointer instead of its content.
    #[error("{}: this is a git-lfs pointer, not the weights; run `git lfs pull` in its folder", .0.display())]
    LfsPointer(PathBuf),

    /// File has none of the supported formats.
    #[error("{}: {what}; give a .safetensors file, a PyTorch .pt/.pth/.bin file or a folder with them", .path.display())]
    UnknownFormat {
        /// Path of the file.
        path: PathBuf,
        /// Apparent kind of file.
        what: String,
    },

    /// File ends before its tensors do.
    #[error("{}: truncated, {needed} bytes announced and {found} present; download it again", .path.display())]
    Truncated {
        /// Path of the file.
        path: PathBuf,
        /// Size according to the header, in bytes.
        needed: u64,
        /// Size of the file in bytes.
        found: u64,
    },

    /// File contradicts its own format.
    #[error("{}: {reason}; the file is damaged, download or export it again", .path.display())]
    Corrupt {
        /// Path of the file.
        path: PathBuf,
        /// Contradiction.
        reason: String,
    },

    /// Feature of the format is not supported.
    #[error("{}: {reason}; {remedy}", .path.display())]
    Unsupported {
        /// Path of the file.
        path: PathBuf,
        /// Unsupported part.
        reason: String,
        /// Remedy.
        remedy: String,
    },

    /// Pickle names a Python object that tensors do not need.
    #[error("{}: the pickle refers to `{global}`, which a table of tensors does not need; nothing was run; save the state_dict alone or convert it to safetensors", .path.display())]
    ForeignGlobal {
        /// Path of the file.
        path: PathBuf,
        /// `module.name` of the object.
        global: String,
    },

    /// Pickle of plain data names a Python object.
    #[error("{}: the pickle refers to `{global}`, where only numbers, texts, lists and dictionaries are expected; nothing was run; download it from its publisher again", .path.display())]
    ForeignData {
        /// Path of the file.
        path: PathBuf,
        /// `module.name` of the object.
        global: String,
    },

    /// Folder has no checkpoint.
    #[error("{}: no weights here; looked for model.safetensors, *.safetensors.index.json, pytorch_model.bin, *.bin.index.json", .0.display())]
    NoCheckpoint(PathBuf),

    /// Folder has several candidates.
    #[error("{}: several checkpoints ({}); give the path of one", .path.display(), .candidates.join(", "))]
    Ambiguous {
        /// Path of the folder.
        path: PathBuf,
        /// File names of the candidates.
        candidates: Vec<String>,
    },

    /// Shard named by the index does not exist.
    #[error("{}: shard `{shard}` is missing; download it into the same folder", .index.display())]
    ShardMissing {
        /// Path of the index file.
        index: PathBuf,
        /// File name of the shard.
        shard: String,
    },

    /// Index and shards disagree on a tensor.
    #[error("{}: tensor `{tensor}` {reason}; download index and shards of the same revision", .index.display())]
    IndexMismatch {
        /// Path of the index file.
        index: PathBuf,
        /// Name of the tensor.
        tensor: String,
        /// Difference between them.
        reason: String,
    },

    /// Tensor occurs twice.
    #[error("tensor `{tensor}` is in {first} and in {second}; remove one of them")]
    DuplicateTensor {
        /// Name of the tensor.
        tensor: String,
        /// First location.
        first: String,
        /// Second location.
        second: String,
    },

    /// Rename rules give one name to two tensors of a checkpoint.
    #[error("{}: `{first}` and `{second}` are both renamed to `{renamed}`; make the rename rules more specific", .path.display())]
    RenameClash {
        /// Path of the checkpoint.
        path: PathBuf,
        /// First name in the checkpoint.
        first: String,
        /// Second name in the checkpoint.
        second: String,
        /// Resulting name of both.
        renamed: String,
    },

    /// Checkpoint lacks the tensor.
    #[error("{}: no tensor `{tensor}`{suggestion}", .path.display())]
    NoTensor {
        /// Path of the checkpoint.
        path: PathBuf,
        /// Requested tensor.
        tensor: String,
        /// Similar name, as `; did you mean ...?`, or empty.
        suggestion: String,
    },

    /// Regular expression of the options is invalid.
    #[error("option `{option}`: `{pattern}` is not a regular expression ({reason})")]
    Pattern {
        /// Name of the option.
        option: &'static str,
        /// Pattern as given.
        pattern: String,
        /// Reason given by the parser.
        reason: String,
    },

    /// Operation does not support the type.
    #[error("tensor `{tensor}`: cannot {action} type {dtype}; use f32, f16 or bf16")]
    DType {
        /// Name of the tensor or option.
        tensor: String,
        /// Operation, as a verb.
        action: &'static str,
        /// Unsupported type.
        dtype: String,
    },

    /// Tensor cannot be in blocks.
    #[error("tensor `{tensor}`: {error}")]
    Blocks {
        /// Name of the tensor.
        tensor: String,
        /// Reason.
        error: BlockError,
    },

    /// Value exceeds the range of half precision.
    #[error("tensor `{0}`: a value does not fit f16; write bf16 or f32")]
    Overflow(String),

    /// Backend failed to return a tensor.
    #[error("tensor `{tensor}`: the device did not return its values ({reason})")]
    Device {
        /// Name of the tensor.
        tensor: String,
        /// Reason given by the backend.
        reason: String,
    },

    /// Location of the hub is malformed or could not be fetched.
    #[error(transparent)]
    Hub(#[from] HubError),

    /// File of a known address and content could not be fetched.
    #[error("{}: not fetched from {address} ({reason}); check the connection and run it again, or save the file there by other means", .path.display())]
    Fetch {
        /// Place that it should come from.
        address: Box<str>,
        /// Place that it should lie at.
        path: PathBuf,
        /// Reason of the network, or of the content.
        reason: String,
    },

    /// Checkpoint does not match the module, which is unchanged.
    #[error("{0}")]
    Mismatch(Box<LoadReport>),
}

impl Error {
    /// Creates an [`Error::Io`], or an [`Error::NotFound`] if that is the reason.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound(path),
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl AsRef<str>) -> Self {
        Self::Corrupt {
            path: path.to_path_buf(),
            reason: one_line(reason.as_ref()),
        }
    }

    pub(crate) fn unsupported(
        path: &Path,
        reason: impl AsRef<str>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            path: path.to_path_buf(),
            reason: one_line(reason.as_ref()),
            remedy: remedy.into(),
        }
    }
}

/// Shortens text that may quote a hostile file to 240 characters, with line feeds and other control
/// characters replaced by spaces.
pub fn one_line(text: &str) -> String {
    const LONGEST: usize = 240;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}
