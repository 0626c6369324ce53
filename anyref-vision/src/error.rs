//! Errors of the crate.

use std::io;

/// Error of this crate. Messages are one line and name the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// File could not be read.
    #[error("cannot read picture {name}: {source}; check the path and its permissions")]
    Read {
        /// Name of the file.
        name: String,
        /// Reason given by the operating system.
        source: io::Error,
    },
    /// File is empty.
    #[error("picture {name} is empty (0 bytes); fetch or export it again")]
    Empty {
        /// Name of the file.
        name: String,
    },
    /// Content is in no supported picture format.
    #[error(
        "picture {name} is in a format that is not read here ({reason}); \
         convert it to PNG, JPEG, WebP, BMP, GIF, TIFF or PNM"
    )]
    Unsupported {
        /// Name of the file.
        name: String,
        /// Format found by the reader.
        reason: String,
    },
    /// Content is truncated or contradicts its format.
    #[error("picture {name} is truncated or damaged ({reason}); fetch or export it again")]
    Damaged {
        /// Name of the file.
        name: String,
        /// Reason given by the decoder.
        reason: String,
    },
    /// Picture has no pixels, or more than the limits allow.
    #[error("picture {name} is {width}x{height} pixels, outside 1x1 to {limit}; resize it first")]
    Size {
        /// Name of the file.
        name: String,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Largest size allowed, in words.
        limit: String,
    },
    /// Configuration of an encoder is invalid.
    #[error("{encoder} config: `{field}` {problem}")]
    Config {
        /// Name of the encoder.
        encoder: &'static str,
        /// Invalid field, named as in `config.json`.
        field: &'static str,
        /// Fault, and the valid values.
        problem: String,
    },
    /// Requested layer does not exist.
    #[error(
        "feature layer {select_layer} does not exist: a tower of {num_hidden_layers} layers has \
         hidden states {first} to {num_hidden_layers}"
    )]
    Layer {
        /// Requested layer.
        select_layer: i32,
        /// Layers of the tower.
        num_hidden_layers: usize,
        /// Lowest valid index, counted from the end.
        first: i64,
    },
}

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Rejects an invalid field of an encoder's configuration.
pub(crate) fn check(
    encoder: &'static str,
    field: &'static str,
    right: bool,
    problem: impl FnOnce() -> String,
) -> Result<()> {
    match right {
        true => Ok(()),
        false => Err(Error::Config {
            encoder,
            field,
            problem: problem(),
        }),
    }
}

/// Rejects sizes of 0, and a width that the heads do not divide.
pub(crate) fn check_transformer<const N: usize>(
    encoder: &'static str,
    sizes: [(&'static str, usize); N],
    [width, heads]: [usize; 2],
) -> Result<()> {
    for (field, size) in sizes {
        check(encoder, field, size > 0, || {
            "is 0: make it 1 or more".to_owned()
        })?;
    }
    check(encoder, "hidden_size", width.is_multiple_of(heads), || {
        format!("is {width}: it must be a multiple of num_attention_heads, {heads}")
    })
}

/// Number of layers of a tower to run for `hidden_states[select_layer]`.
pub(crate) fn layers_until(num_hidden_layers: usize, select_layer: i32) -> Result<usize> {
    let layers = num_hidden_layers as i64;
    let index = i64::from(select_layer);
    let index = if index < 0 { index + layers + 1 } else { index };
    if (0..=layers).contains(&index) {
        Ok(index as usize)
    } else {
        Err(Error::Layer {
            select_layer,
            num_hidden_layers,
            first: -layers - 1,
        })
    }
}
