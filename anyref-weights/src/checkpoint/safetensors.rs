//! Safetensors header.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyref_ops::blocks::BlockType;
use burn::tensor::DType;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::entry::{Source, Stored, TensorEntry};
use super::file::DataFile;
use super::overlap::check_overlap;
use crate::error::{Error, Result};
use crate::safetensors_dtype::dtype_of;

/// Maximum length of a header, as in the format's reference implementation.
const MAX_HEADER: u64 = 100 << 20;

/// Tensor of the header.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// Header in file order, so that duplicate names are detected.
#[derive(Debug, Default)]
struct Header {
    tensors: Vec<(String, Info)>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        header.metadata = map.next_value()?;
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// Reads the header of a file.
pub(super) fn open(file: &Arc<DataFile>) -> Result<(Vec<TensorEntry>, BTreeMap<String, String>)> {
    let path = file.path();
    let mut prefix = [0; 8];
    file.read_into(0, &mut prefix)?;
    let length = u64::from_le_bytes(prefix);
    if length > MAX_HEADER {
        let reason = format!("the header claims {length} bytes, more than {MAX_HEADER}");
        return Err(Error::corrupt(path, reason));
    }
    let bytes = file.read(8, length as usize)?;
    let header: Header = serde_json::from_slice(&bytes)
        .map_err(|e| Error::corrupt(path, format!("the header is not valid ({e})")))?;

    let start = 8 + length;
    let mut tensors = Vec::with_capacity(header.tensors.len());
    for (name, info) in header.tensors {
        tensors.push(entry(file, start, name, info)?);
    }
    check_overlap(file, &tensors)?;
    in_blocks(file, &mut tensors, &header.metadata)?;
    Ok((tensors, header.metadata))
}

/// Prefix of the metadata keys that name the format of a tensor in blocks.
const BLOCK_KEY: &str = "ggml_type.";

/// Metadata key that names the format of a tensor in blocks.
pub(crate) fn block_key(tensor: &str) -> String {
    format!("{BLOCK_KEY}{tensor}")
}

/// Converts byte matrices to f32 matrices in blocks where the metadata declare a block format.
fn in_blocks(
    file: &Arc<DataFile>,
    tensors: &mut [TensorEntry],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let path = file.path();
    let formats = metadata
        .iter()
        .filter_map(|(key, format)| Some((key.strip_prefix(BLOCK_KEY)?, format)));
    let formats: BTreeMap<&str, &String> = formats.collect();
    let mut found = 0;
    for tensor in tensors {
        let Some(format) = formats.get(tensor.name.as_str()) else {
            continue;
        };
        found += 1;
        let name = &tensor.name;
        let Some(block) = BlockType::from_name(format) else {
            let reason = format!("tensor `{name}` is in blocks of the type `{format}`");
            let remedy = "quantise it to q8_0, q4_0 or q4_k";
            return Err(Error::unsupported(path, reason, remedy));
        };
        let shape = match (tensor.dtype, tensor.shape.as_slice()) {
            (DType::U8, &[rows, bytes]) if bytes.is_multiple_of(block.bytes()) => {
                let columns = (bytes / block.bytes()).checked_mul(block.values());
                columns.map(|columns| vec![rows, columns])
            }
            _ => None,
        };
        let shape = shape.filter(|shape| shape[0].checked_mul(shape[1]).is_some());
        let (Some(shape), Source::File(stored)) = (shape, &mut tensor.source) else {
            let reason = format!(
                "tensor `{name}` of {:?} {:?} is no rows of whole blocks of {block}",
                tensor.dtype, tensor.shape
            );
            return Err(Error::corrupt(path, reason));
        };
        (tensor.dtype, tensor.shape) = (DType::F32, shape);
        stored.blocks = Some(block);
    }
    match found == formats.len() {
        true => Ok(()),
        false => Err(Error::corrupt(
            path,
            "the metadata name blocks of a tensor that is not there",
        )),
    }
}

/// Checks a tensor of the header for consistency, and against the file.
fn entry(file: &Arc<DataFile>, start: u64, name: String, info: Info) -> Result<TensorEntry> {
    let path = file.path();
    let Some(dtype) = dtype_of(&info.dtype) else {
        let reason = format!("tensor `{name}` has type {}", info.dtype);
        return Err(Error::unsupported(
            path,
            reason,
            "export it as F32, F16 or BF16",
        ));
    };
    let bytes = info
        .shape
        .iter()
        .try_fold(dtype.size() as u64, |product, &n| {
            product.checked_mul(n as u64)
        });
    let [first, last] = info.data_offsets;
    if first > last || bytes != Some(last - first) {
        let reason = format!(
            "tensor `{name}` of shape {:?} does not fit its {} bytes",
            info.shape,
            last.saturating_sub(first)
        );
        return Err(Error::corrupt(path, reason));
    }
    let offset = start.saturating_add(first);
    file.check(offset, last - first)?;
    let source = Source::File(Stored {
        file: file.clone(),
        offset,
        strides: None,
        blocks: None,
    });
    Ok(TensorEntry {
        name,
        dtype,
        shape: info.shape,
        source,
    })
}
