//! Settings of an evaluation, which may not change when it is resumed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyref_weights::write_atomic;

use super::error::{Error, Result};

/// Refuses to resume in a folder with an evaluation of other settings.
pub(super) fn check_settings(out: &Path, settings: &str) -> Result<()> {
    let file = out.join("settings.txt");
    match fs::read_to_string(&file) {
        Ok(begun) if begun != settings => Err(Error::OtherSettings {
            path: out.to_owned(),
            begun,
            settings: settings.to_owned(),
        }),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let begun = out.join("predictions.jsonl");
            if begun.exists() {
                return Err(Error::NoSettings { path: begun });
            }
            Ok(write_atomic(&file, settings)?)
        }
        Err(error) => Err(Error::read(&file)(error)),
    }
}
