//! PyTorch's own files: a table of tensors in a pickle, with the values beside it.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::DType;

use super::entry::{Source, Stored, TensorEntry};
use super::file::DataFile;
use super::pickle::{self, Input, Node, Pickle, Value};
use super::zip::Archive;
use crate::error::{Error, Result};

/// Maximum nesting of dictionaries.
const MAX_DEPTH: usize = 16;
/// Maximum entries of all dictionaries, counted each time they are reached.
const MAX_ENTRIES: usize = 1 << 18;
/// Maximum length of a tensor name.
const MAX_NAME: usize = 1024;

/// Reads the table of a file written by `torch.save` since 1.6.
pub(super) fn open_zip(file: &Arc<DataFile>) -> Result<Vec<TensorEntry>> {
    let path = file.path();
    let archive = Archive::open(file)?;
    let mut roots = archive
        .names()
        .filter_map(|name| name.strip_suffix("data.pkl"));
    let root = match (roots.next(), roots.next()) {
        (Some(root), None) if root.is_empty() || root.ends_with('/') => root.to_string(),
        _ => {
            let what = "a zip archive, but not of torch.save (no data.pkl)".into();
            return Err(Error::UnknownFormat {
                path: path.into(),
                what,
            });
        }
    };
    if archive
        .names()
        .any(|name| name.starts_with(&format!("{root}code/")))
    {
        return Err(Error::unsupported(
            path,
            "a TorchScript program, not a table of tensors",
            "save the state_dict of the model",
        ));
    }
    if let Some((offset, size)) = archive.content(&format!("{root}byteorder"))?
        && file.read(offset, size.min(8) as usize)? != b"little"
    {
        return Err(big_endian(file));
    }
    let Some((offset, size)) = archive.content(&format!("{root}data.pkl"))? else {
        return Err(Error::corrupt(path, "no data.pkl"));
    };
    let pickle = pickle::read(&mut Input::new(file, offset, size))?;
    let mut places = Vec::with_capacity(pickle.storages.len());
    for storage in &pickle.storages {
        let name = format!("{root}data/{}", storage.key);
        let needed = storage.elements.saturating_mul(storage.dtype.size() as u64);
        match archive.content(&name)? {
            Some((offset, size)) if size >= needed => places.push(offset),
            Some((_, size)) => {
                let reason = format!("the storage `{name}` has {size} bytes instead of {needed}");
                return Err(Error::corrupt(path, reason));
            }
            None => {
                return Err(Error::corrupt(
                    path,
                    format!("the storage `{name}` is missing"),
                ));
            }
        }
    }
    entries(file, &pickle, &places)
}

/// Reads the table of a file written by `torch.save` before 1.6: five pickles, then the storages.
pub(super) fn open_legacy(file: &Arc<DataFile>) -> Result<Vec<TensorEntry>> {
    let path = file.path();
    let mut position = 0;
    let mut next = || {
        let mut input = Input::new(file, position, file.len() - position);
        let pickle = pickle::read(&mut input)?;
        position = input.position();
        Ok::<_, Error>(pickle)
    };
    let (_magic, _protocol, system, table, keys) = (next()?, next()?, next()?, next()?, next()?);
    if let Some(Node::Dict(items)) = system.node(system.root)
        && items.iter().any(|&(key, value)| {
            system.text(key) == Some("little_endian") && value == Value::Bool(false)
        })
    {
        return Err(big_endian(file));
    }
    let Some(Node::List(order)) = keys.node(keys.root) else {
        return Err(Error::corrupt(path, "the list of storages is missing"));
    };
    let known: HashMap<&str, usize> = table
        .storages
        .iter()
        .enumerate()
        .map(|(i, s)| (s.key.as_str(), i))
        .collect();
    let mut places = vec![None; table.storages.len()];
    for &key in order {
        let Some(&index) = keys.text(key).and_then(|key| known.get(key)) else {
            return Err(Error::corrupt(
                path,
                "the list of storages has one that no tensor uses",
            ));
        };
        let storage = &table.storages[index];
        let mut count = [0; 8];
        file.read_into(position, &mut count)?;
        if u64::from_le_bytes(count) != storage.elements {
            let reason = format!(
                "the storage `{}` has another length than listed",
                storage.key
            );
            return Err(Error::corrupt(path, reason));
        }
        position += 8;
        let bytes = storage.elements.saturating_mul(storage.dtype.size() as u64);
        file.check(position, bytes)?;
        places[index] = Some(position);
        position += bytes;
    }
    match places.into_iter().collect::<Option<Vec<u64>>>() {
        Some(places) => entries(file, &table, &places),
        None => Err(Error::corrupt(path, "a tensor's storage is not listed")),
    }
}

fn big_endian(file: &DataFile) -> Error {
    Error::unsupported(
        file.path(),
        "the values are big-endian",
        "convert it to safetensors on the machine that wrote it",
    )
}

/// Tensors of a pickle whose storages start at `places`, named by the path of dictionary keys.
fn entries(file: &Arc<DataFile>, pickle: &Pickle, places: &[u64]) -> Result<Vec<TensorEntry>> {
    let path = file.path();
    let mut found = Vec::new();
    let mut visited = 0;
    let mut open = vec![(String::new(), pickle.root, 0)];
    while let Some((name, value, depth)) = open.pop() {
        let children: Vec<(String, Value)> = match pickle.node(value) {
            Some(Node::Tensor(tensor)) => {
                let dtype = pickle.storages[tensor.storage].dtype;
                let offset = places[tensor.storage] + tensor.offset * dtype.size() as u64;
                found.push(entry(file, name, dtype, offset, tensor));
                continue;
            }
            Some(Node::Dict(items)) => {
                // A duplicate key keeps its last value, as in Python.
                let mut last = HashMap::new();
                for &(key, value) in items {
                    if let Some(key) = key_text(file, pickle, key)? {
                        last.insert(key, value);
                    }
                }
                last.into_iter().collect()
            }
            Some(Node::List(items) | Node::Tuple(items)) => items
                .iter()
                .enumerate()
                .map(|(i, &item)| (i.to_string(), item))
                .collect(),
            _ => continue,
        };
        visited += children.len();
        if visited > MAX_ENTRIES || depth >= MAX_DEPTH {
            return Err(Error::corrupt(
                path,
                "the table of tensors is nested too deeply",
            ));
        }
        for (key, child) in children
            .into_iter()
            .filter(|(_, c)| matches!(c, Value::Node(_)))
        {
            let name = match name.is_empty() {
                true => key,
                false => format!("{name}.{key}"),
            };
            if name.len() > MAX_NAME {
                return Err(Error::corrupt(path, "a tensor's name is too long"));
            }
            open.push((name, child, depth + 1));
        }
    }
    if found.is_empty() {
        return Err(Error::unsupported(
            path,
            "no tensors in it",
            "save the state_dict of the model with torch.save",
        ));
    }
    Ok(found)
}

/// Converts a dictionary key to a part of a tensor's name.
fn key_text(file: &DataFile, pickle: &Pickle, key: Value) -> Result<Option<String>> {
    match (key, pickle.text(key)) {
        (Value::Int(number), _) => Ok(Some(number.to_string())),
        (_, Some(text)) if text.len() > MAX_NAME => {
            Err(Error::corrupt(file.path(), "a tensor's name is too long"))
        }
        (_, text) => Ok(text.map(str::to_string)),
    }
}

fn entry(
    file: &Arc<DataFile>,
    name: String,
    dtype: DType,
    offset: u64,
    tensor: &pickle::Tensor,
) -> TensorEntry {
    let mut expected = 1;
    let contiguous = tensor
        .shape
        .iter()
        .zip(&tensor.strides)
        .rev()
        .all(|(&n, &stride)| {
            let fits = n <= 1 || stride == expected;
            expected = n.saturating_mul(expected);
            fits
        });
    let strides = (!contiguous).then(|| tensor.strides.clone());
    TensorEntry {
        name,
        dtype,
        shape: tensor.shape.clone(),
        source: Source::File(Stored {
            blocks: None,
            file: file.clone(),
            offset,
            strides,
        }),
    }
}
