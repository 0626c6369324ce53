//! Errors of the crate.

use std::io;

/// An error of this crate. Messages are one line and name the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read picture {name}: {source}; check the path and its permissions")]
    Read {
        /// The file.
        name: String,
        /// Reason of the operating system.
        source: io::Error,
    },
    /// The file has no bytes.
    #[error("picture {name} is empty (0 bytes); fetch or export it again")]
    Empty {
        /// The file.
        name: String,
    },
    /// The content is in no known picture format.
    #[error(
        "picture {name} is in a format that is not read here ({reason}); \
         convert it to PNG, JPEG, WebP, BMP, GIF, TIFF or PNM"
    )]
    Unsupported {
        /// The file.
        name: String,
        /// Format that the reader met.
        reason: String,
    },
    /// The content ends early or contradicts its format.
    #[error("picture {name} is truncated or damaged ({reason}); fetch or export it again")]
    Damaged {
        /// The file.
        name: String,
        /// Reason of the decoder.
        reason: String,
    },
    /// The picture has no pixels, or more than the limits allow.
    #[error("picture {name} is {width}x{height} pixels, outside 1x1 to {limit}; resize it first")]
    Size {
        /// The file.
        name: String,
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The largest size allowed, in words.
        limit: String,
    },
    /// A configuration that no encoder can have.
    #[error("{encoder} config: `{field}` {problem}")]
    Config {
        /// Which encoder's.
        encoder: &'static str,
        /// The field at fault, named as in `config.json`.
        field: &'static str,
        /// Fault, and the values that are right.
        problem: String,
    },
    /// A layer outside the model was asked for.
    #[error(
        "feature layer {select_layer} does not exist: a tower of {num_hidden_layers} layers has \
         hidden states {first} to {num_hidden_layers}"
    )]
    Layer {
        /// The layer asked for.
        select_layer: i32,
        /// Layers of the tower.
        num_hidden_layers: usize,
        /// The lowest index, counted from the end.
        first: i64,
    },
}

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Refuses a field of an encoder's configuration that is not right.
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

/// Refuses sizes of 0, and a width that the heads do not divide.
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

/// Number of a tower's layers that run to give `hidden_states[select_layer]`.
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
