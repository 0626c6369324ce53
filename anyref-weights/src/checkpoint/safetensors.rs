//! The safetensors header.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::entry::{Source, Stored, TensorEntry};
use super::file::DataFile;
use super::overlap::check_overlap;
use crate::error::{Error, Result};
use crate::safetensors_dtype::dtype_of;

/// Longest header read, as in the format's own implementation.
const MAX_HEADER: u64 = 100 << 20;

/// One tensor of the header.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// The header in file order, so that a name given twice is seen.
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
    Ok((tensors, header.metadata))
}

/// Compares what the header says of a tensor with itself and with the file.
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
