//! Check for overlapping tensors.

use super::entry::{Source, TensorEntry};
use super::file::DataFile;
use crate::error::{Error, Result};

/// Rejects tensors that share bytes, which would let a small file pretend to hold a large model.
pub(super) fn check_overlap(file: &DataFile, tensors: &[TensorEntry]) -> Result<()> {
    let mut ranges: Vec<(u64, u64, &str)> = tensors
        .iter()
        .filter_map(|t| {
            let Source::File(stored) = &t.source else {
                return None;
            };
            let bytes = stored.bytes_of(t);
            Some((stored.offset, stored.offset + bytes as u64, t.name.as_str()))
        })
        .filter(|(first, last, _)| first < last)
        .collect();
    ranges.sort_unstable();
    match ranges.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        None => Ok(()),
        Some(pair) if pair[0].2 == pair[1].2 => Err(Error::DuplicateTensor {
            tensor: pair[0].2.to_string(),
            first: file.path().display().to_string(),
            second: "its header again".into(),
        }),
        Some(pair) => {
            let reason = format!("tensors `{}` and `{}` overlap", pair[0].2, pair[1].2);
            Err(Error::corrupt(file.path(), reason))
        }
    }
}
