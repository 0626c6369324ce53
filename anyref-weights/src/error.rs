//! Errors of the crate.

use std::io;
use std::path::{Path, PathBuf};

use crate::hub::HubError;
use crate::report::LoadReport;

/// Result of the crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate. Each message is one line that names the file or tensor and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file or folder is not there.
    #[error("{}: no such file or folder; check the path", .0.display())]
    NotFound(PathBuf),

    /// The system refused to read or write.
    #[error("{}: {source}; check permissions and disk space", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The file has no bytes.
    #[error("{}: the file is empty; download it again", .0.display())]
    Empty(PathBuf),

    /// The file starts with zero bytes only.
    #[error("{}: the file is filled with zeros, as an interrupted download leaves it; download it again", .0.display())]
    ZeroFilled(PathBuf),

    /// A git-lfs pointer instead of its file.
    #[error("{}: this is a git-lfs pointer, not the weights; run `git lfs pull` in its folder", .0.display())]
    LfsPointer(PathBuf),

    /// None of the formats that can be read.
    #[error("{}: {what}; give a .safetensors file, a PyTorch .pt/.pth/.bin file or a folder with them", .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Kind of file it looks like.
        what: String,
    },

    /// The file ends before its tensors do.
    #[error("{}: truncated, {needed} bytes announced and {found} present; download it again", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that the header announces.
        needed: u64,
        /// Bytes in the file.
        found: u64,
    },

    /// The file contradicts its own format.
    #[error("{}: {reason}; the file is damaged, download or export it again", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Contradiction.
        reason: String,
    },

    /// Something in the format that is not supported.
    #[error("{}: {reason}; {remedy}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Part that is not supported.
        reason: String,
        /// Remedy.
        remedy: String,
    },

    /// A pickle names a Python object that tensors do not need.
    #[error("{}: the pickle refers to `{global}`, which a table of tensors does not need; nothing was run; save the state_dict alone or convert it to safetensors", .path.display())]
    ForeignGlobal {
        /// The file.
        path: PathBuf,
        /// `module.name` of the object.
        global: String,
    },

    /// A pickle of plain data names a Python object.
    #[error("{}: the pickle refers to `{global}`, where only numbers, texts, lists and dictionaries are expected; nothing was run; download it from its publisher again", .path.display())]
    ForeignData {
        /// The file.
        path: PathBuf,
        /// `module.name` of the object.
        global: String,
    },

    /// A folder without a checkpoint.
    #[error("{}: no weights here; looked for model.safetensors, *.safetensors.index.json, pytorch_model.bin, *.bin.index.json", .0.display())]
    NoCheckpoint(PathBuf),

    /// A folder with several candidates.
    #[error("{}: several checkpoints ({}); give the path of one", .path.display(), .candidates.join(", "))]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// The candidates' file names.
        candidates: Vec<String>,
    },

    /// A shard named by the index is not there.
    #[error("{}: shard `{shard}` is missing; download it into the same folder", .index.display())]
    ShardMissing {
        /// The index file.
        index: PathBuf,
        /// The shard's file name.
        shard: String,
    },

    /// Index and shards do not agree on a tensor.
    #[error("{}: tensor `{tensor}` {reason}; download index and shards of the same revision", .index.display())]
    IndexMismatch {
        /// The index file.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// How they differ.
        reason: String,
    },

    /// A tensor that is there twice.
    #[error("tensor `{tensor}` is in {first} and in {second}; remove one of them")]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// Where it is.
        first: String,
        /// Where it is, too.
        second: String,
    },

    /// Two tensors of a checkpoint that the rename rules give one name.
    #[error("{}: `{first}` and `{second}` are both renamed to `{renamed}`; make the rename rules more specific", .path.display())]
    RenameClash {
        /// The checkpoint.
        path: PathBuf,
        /// A name in the checkpoint.
        first: String,
        /// Another name in the checkpoint.
        second: String,
        /// The name both get.
        renamed: String,
    },

    /// A tensor that the checkpoint does not have.
    #[error("{}: no tensor `{tensor}`{suggestion}", .path.display())]
    NoTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor asked for.
        tensor: String,
        /// A near name, as `; did you mean ...?`, or nothing.
        suggestion: String,
    },

    /// A regular expression of the options does not parse.
    #[error("option `{option}`: `{pattern}` is not a regular expression ({reason})")]
    Pattern {
        /// The option.
        option: &'static str,
        /// The pattern.
        pattern: String,
        /// The parser's reason.
        reason: String,
    },

    /// A type that the operation cannot take.
    #[error("tensor `{tensor}`: cannot {action} type {dtype}; use f32, f16 or bf16")]
    DType {
        /// The tensor or option.
        tensor: String,
        /// Operation, as a verb.
        action: &'static str,
        /// The type.
        dtype: String,
    },

    /// A value that half precision cannot hold.
    #[error("tensor `{0}`: a value does not fit f16; write bf16 or f32")]
    Overflow(String),

    /// The backend could not hand out a tensor.
    #[error("tensor `{tensor}`: the device did not return its values ({reason})")]
    Device {
        /// The tensor.
        tensor: String,
        /// The backend's reason.
        reason: String,
    },

    /// A location of the hub that is malformed or could not be fetched.
    #[error(transparent)]
    Hub(#[from] HubError),

    /// A file of a known address and content that could not be fetched.
    #[error("{}: not fetched from {address} ({reason}); check the connection and run it again, or save the file there by other means", .path.display())]
    Fetch {
        /// Where it should come from.
        address: Box<str>,
        /// Where it should lie.
        path: PathBuf,
        /// Reason of the network, or of the content.
        reason: String,
    },

    /// The checkpoint does not fit the module. The module is left as it was.
    #[error("{0}")]
    Mismatch(Box<LoadReport>),
}

impl Error {
    /// An [`Error::Io`], or [`Error::NotFound`] when that is the reason.
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

/// Text that may quote a hostile file, cut after 240 characters, with spaces in the place of line
/// feeds and other control characters.
pub fn one_line(text: &str) -> String {
    const LONGEST: usize = 240;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.chars().take(LONGEST).map(clean).collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}
