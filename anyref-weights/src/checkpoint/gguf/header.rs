//! Header of a GGUF file.

use super::super::file::DataFile;
use super::cursor::Cursor;
use super::metadata::GgufMetadata;
use super::tensor_type::TensorType;
use crate::error::{Error, Result};

/// First bytes of a file.
pub(super) const MAGIC: &[u8] = b"GGUF";
/// Default alignment of tensors.
const ALIGNMENT: u64 = 32;
/// Maximum dimensions of a tensor.
const MAX_DIMS: u32 = 4;
/// Minimum bytes of a key with its value.
const LEAST_VALUE: u64 = 13;
/// Minimum bytes of a tensor's entry.
const LEAST_TENSOR: u64 = 32;

/// Header of a file.
pub(super) struct Header {
    pub(super) metadata: GgufMetadata,
    pub(super) tensors: Vec<Info>,
    /// Alignment of the tensors' offsets.
    pub(super) alignment: u64,
    /// Offset of the first tensor in the file.
    pub(super) data: u64,
}

/// Entry of a tensor.
pub(super) struct Info {
    pub(super) name: String,
    /// Sizes, innermost first.
    pub(super) dims: Vec<u64>,
    pub(super) tensor_type: TensorType,
    /// Offset from the first tensor in bytes.
    pub(super) offset: u64,
}

/// Reads the header of a file.
pub(super) fn read(file: &DataFile) -> Result<Header> {
    let mut cursor = Cursor::new(file);
    if cursor.array::<4>()? != MAGIC {
        return Err(Error::UnknownFormat {
            path: file.path().into(),
            what: "not a GGUF file".into(),
        });
    }
    match cursor.u32()? {
        2 | 3 => {}
        version => return Err(unsupported_version(file, version)),
    }
    // The counts of tensors and keys come first; both are checked before anything is allocated.
    let tensors = cursor.count(LEAST_TENSOR)?;
    let values = cursor.count(LEAST_VALUE)?;
    let metadata = GgufMetadata::read(&mut cursor, values)?;
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT,
        Some(_) => match metadata.integer("general.alignment") {
            Some(alignment) if alignment.is_power_of_two() && alignment <= 1 << 20 => alignment,
            _ => return Err(cursor.corrupt("`general.alignment` is not a power of two")),
        },
    };
    let mut infos = Vec::new();
    for _ in 0..tensors {
        infos.push(info(file, &mut cursor)?);
    }
    let data = cursor.position().next_multiple_of(alignment);
    Ok(Header {
        metadata,
        tensors: infos,
        alignment,
        data,
    })
}

fn unsupported_version(file: &DataFile, version: u32) -> Error {
    let remedy = "convert it again with llama.cpp's tools of today";
    let reason = match version.swap_bytes() {
        2 | 3 => "GGUF with its bytes in big-endian order".into(),
        _ => format!("GGUF of version {version}, where 2 and 3 are read"),
    };
    Error::unsupported(file.path(), reason, remedy)
}

fn info(file: &DataFile, cursor: &mut Cursor<'_>) -> Result<Info> {
    let name = cursor.name("a tensor's name")?;
    let count = cursor.u32()?;
    if !(1..=MAX_DIMS).contains(&count) {
        return Err(cursor.corrupt(format!("tensor `{name}` has {count} dimensions")));
    }
    let dims: Vec<u64> = (0..count).map(|_| cursor.u64()).collect::<Result<_>>()?;
    let tensor_type = TensorType::from_number(cursor.u32()?).map_err(|unread| {
        let readable = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K";
        let reason = format!("tensor `{name}` has the type {unread}");
        Error::unsupported(file.path(), reason, format!("take the model as {readable}"))
    })?;
    Ok(Info {
        name,
        dims,
        tensor_type,
        offset: cursor.u64()?,
    })
}
