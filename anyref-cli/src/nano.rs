//! nano, the built-in model. Its weights are part of the program where it was built in the
//! repository; one that was built of the published crate, which may not be that large, fetches them
//! once from the release of its version.

#[cfg(all(feature = "hub", any(test, not(nano_embedded))))]
mod release;

use anyref_core::{ModelFiles, Result};

/// Configuration.
pub const CONFIG: &[u8] = include_bytes!(concat!(env!("ANYREF_ASSETS"), "/nano/config.json"));
/// Names of the things that it learned, one a line.
#[cfg(feature = "serve")]
pub const NOUNS: &str = include_str!(concat!(env!("ANYREF_ASSETS"), "/nano/nouns.txt"));

const TOKENIZER: &[u8] = include_bytes!(concat!(env!("ANYREF_ASSETS"), "/nano/tokenizer.json"));

/// Files of the built-in model; its weights are fetched where the program does not carry them.
///
/// # Errors
/// When the weights are not on this machine and cannot be fetched.
pub fn files() -> Result<ModelFiles<'static>> {
    Ok(ModelFiles {
        config: CONFIG,
        tokenizer: TOKENIZER,
        weights: weights()?,
    })
}

#[cfg(nano_embedded)]
fn weights() -> Result<&'static [u8]> {
    // No constant, which would be there once for each part of the program that names it.
    static WEIGHTS: &[u8] =
        include_bytes!(concat!(env!("ANYREF_ASSETS"), "/nano/model.safetensors"));
    Ok(WEIGHTS)
}

#[cfg(all(feature = "hub", not(nano_embedded)))]
use release::weights;

#[cfg(not(any(feature = "hub", nano_embedded)))]
fn weights() -> Result<&'static [u8]> {
    Err(anyref_weights::Error::Unsupported {
        path: "nano.safetensors".into(),
        reason: "this build neither carries the weights nor can fetch them".into(),
        remedy: "build with the feature `hub`, or give --model".into(),
    }
    .into())
}
