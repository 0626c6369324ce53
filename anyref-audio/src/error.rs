//! Errors of the crate.

use std::path::PathBuf;

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Each message names the file or the number at fault, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that no encoder or pre-processing can have.
    #[error("audio config: `{field}` {problem}")]
    Config {
        /// The field at fault.
        field: &'static str,
        /// Fault, and the values that are right.
        problem: String,
    },
    /// The file cannot be opened or read.
    #[error("cannot read `{}`: {source}; check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write `{}`: {source}; check the folder and its permissions", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The file has no bytes.
    #[error("`{name}` is empty (0 bytes); copy or download it again")]
    Empty {
        /// The file.
        name: String,
    },
    /// Neither the container nor the codec is one that is read here.
    #[error(
        "`{name}` is not a sound that can be read ({reason}); convert it to WAV, FLAC, Ogg Vorbis or MP3"
    )]
    Unsupported {
        /// The file.
        name: String,
        /// Reason of the reader.
        reason: String,
    },
    /// The format is known, its contents are broken.
    #[error("`{name}` is damaged ({reason}); copy, download or encode it again")]
    Damaged {
        /// The file.
        name: String,
        /// Reason of the reader.
        reason: String,
    },
    /// The file ends before the length that its header announces.
    #[error(
        "`{name}` is cut short: {found_seconds:.2} s of the announced {expected_seconds:.2} s; copy or download it again"
    )]
    Truncated {
        /// The file.
        name: String,
        /// Length in the header.
        expected_seconds: f64,
        /// Length that could be decoded.
        found_seconds: f64,
    },
    /// The sound is longer than the limit of [`DecodeOptions`](crate::DecodeOptions).
    #[error(
        "`{name}` is longer than {limit_seconds} s; cut out the part that matters, or raise `DecodeOptions::max_seconds`"
    )]
    TooLong {
        /// The file.
        name: String,
        /// The limit.
        limit_seconds: f64,
    },
    /// The sound is shorter than the limit of
    /// [`AudioPreprocessorConfig`](crate::AudioPreprocessorConfig).
    #[error(
        "the sound lasts {seconds:.3} s, at least {min_seconds} s are needed; use a longer recording"
    )]
    TooShort {
        /// Its length.
        seconds: f64,
        /// The limit.
        min_seconds: f64,
    },
    /// Nothing can be heard.
    #[error(
        "the sound is silent (peak {peak:.1e}, at least {min_peak:.1e} is needed); use a recording in which something can be heard, or raise its level"
    )]
    Silent {
        /// The largest distance from the mean.
        peak: f32,
        /// The limit.
        min_peak: f32,
    },
    /// A sample is NaN or infinite.
    #[error(
        "sample {index} is not a finite number; export the sound again, as 16-bit WAV for example"
    )]
    NotFinite {
        /// Its position.
        index: usize,
    },
    /// A sample rate outside of what can be resampled.
    #[error(
        "a sample rate of {sample_rate} Hz is outside of 1000..=768000 Hz; export the sound at 16000 Hz"
    )]
    SampleRate {
        /// The rate.
        sample_rate: u32,
    },
}

/// Refuses sizes of 0 in a configuration.
pub(crate) fn check_sizes<const N: usize>(sizes: [(&'static str, usize); N]) -> Result<()> {
    match sizes.into_iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((field, _)) => Err(Error::Config {
            field,
            problem: "is 0: make it 1 or more".to_owned(),
        }),
    }
}
