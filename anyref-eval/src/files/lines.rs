//! JSON Lines, each line with its number.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyref_decoder::rle::Rle;
use serde::de::{Deserialize, DeserializeOwned};
use serde_json::Value;

use super::error::{Error, Fault, Result};

/// Reads every line that is not blank and hands it to `each` with its number, from 1.
///
/// # Errors
/// When the file cannot be read or holds only blank lines, a line is not JSON of the expected form,
/// or `each` refuses it.
pub fn read<T: DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(usize, T) -> Result<(), Fault>,
) -> Result<()> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(File::open(path).map_err(unreadable)?);
    let (mut line, mut bytes, mut empty) = (0, Vec::new(), true);
    loop {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(unreadable)? == 0 {
            break;
        }
        line += 1;
        let text = bytes.trim_ascii();
        if text.is_empty() {
            continue;
        }
        empty = false;
        let parsed = serde_json::from_slice(text).map_err(|error| match error.is_eof() {
            true => Fault::Truncated,
            false => Fault::Json(one_line(&error)),
        });
        parsed
            .and_then(|row| each(line, row))
            .map_err(|fault| Error::Line {
                path: path.to_owned(),
                line,
                fault: Box::new(fault),
            })?;
    }
    match empty {
        true => Err(Error::Empty {
            path: path.to_owned(),
        }),
        false => Ok(()),
    }
}

/// serde's message without its line number, which is always 1.
fn one_line(error: &serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at character ")
}

/// Identifier: a text or an integer.
#[derive(serde::Deserialize)]
#[serde(untagged)]
pub enum Id {
    Text(String),
    Number(i64),
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        match id {
            Id::Text(text) => text,
            Id::Number(number) => number.to_string(),
        }
    }
}

/// Parses a mask of a picture with `expected` height and width.
///
/// # Errors
/// When the value is no mask, or has another size.
pub fn mask(value: &Value, id: &str, mask: usize, expected: [usize; 2]) -> Result<Rle, Fault> {
    let rle = Rle::deserialize(value).map_err(|error| Fault::Mask {
        id: id.to_owned(),
        mask,
        reason: error.to_string(),
    })?;
    match rle.size() == expected {
        true => Ok(rle),
        false => Err(Fault::Size {
            id: id.to_owned(),
            mask,
            found: rle.size(),
            expected,
        }),
    }
}
