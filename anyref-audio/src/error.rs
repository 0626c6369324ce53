//! Errors of the crate.

use std::path::PathBuf;

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of this crate. Each message names the file or the value at fault, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Configuration of an encoder or of the preprocessing is invalid.
    #[error("audio config: `{field}` {problem}")]
    Config {
        /// Invalid field.
        field: &'static str,
        /// Fault, and the valid values.
        problem: String,
    },
    /// File cannot be opened or read.
    #[error("cannot read `{}`: {source}; check the path and its permissions", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// Reason given by the operating system.
        source: std::io::Error,
    },
    /// File cannot be written.
    #[error("cannot write `{}`: {source}; check the folder and its permissions", path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Reason given by the operating system.
        source: std::io::Error,
    },
    /// File is empty.
    #[error("`{name}` is empty (0 bytes); copy or download it again")]
    Empty {
        /// Name of the file.
        name: String,
    },
    /// Container or codec is not supported.
    #[error(
        "`{name}` is not a sound that can be read ({reason}); convert it to WAV, FLAC, Ogg Vorbis or MP3"
    )]
    Unsupported {
        /// Name of the file.
        name: String,
        /// Reason given by the reader.
        reason: String,
    },
    /// Format is known, but the content is broken.
    #[error("`{name}` is damaged ({reason}); copy, download or encode it again")]
    Damaged {
        /// Name of the file.
        name: String,
        /// Reason given by the reader.
        reason: String,
    },
    /// File ends before the length announced by its header.
    #[error(
        "`{name}` is cut short: {found_seconds:.2} s of the announced {expected_seconds:.2} s; copy or download it again"
    )]
    Truncated {
        /// Name of the file.
        name: String,
        /// Length according to the header, in seconds.
        expected_seconds: f64,
        /// Decoded length, in seconds.
        found_seconds: f64,
    },
    /// Sound is longer than the limit of [`DecodeOptions`](crate::DecodeOptions).
    #[error(
        "`{name}` is longer than {limit_seconds} s; cut out the part that matters, or raise `DecodeOptions::max_seconds`"
    )]
    TooLong {
        /// Name of the file.
        name: String,
        /// Limit in seconds.
        limit_seconds: f64,
    },
    /// Sound is shorter than the limit of
    /// [`AudioPreprocessorConfig`](crate::AudioPreprocessorConfig).
    #[error(
        "the sound lasts {seconds:.3} s, at least {min_seconds} s are needed; use a longer recording"
    )]
    TooShort {
        /// Length of the sound, in seconds.
        seconds: f64,
        /// Limit in seconds.
        min_seconds: f64,
    },
    /// Sound is silent.
    #[error(
        "the sound is silent (peak {peak:.1e}, at least {min_peak:.1e} is needed); use a recording in which something can be heard, or raise its level"
    )]
    Silent {
        /// Largest distance from the mean.
        peak: f32,
        /// Minimum peak.
        min_peak: f32,
    },
    /// Sample is NaN or infinite.
    #[error(
        "sample {index} is not a finite number; export the sound again, as 16-bit WAV for example"
    )]
    NotFinite {
        /// Index of the sample.
        index: usize,
    },
    /// Sample rate is out of the supported range.
    #[error(
        "a sample rate of {sample_rate} Hz is outside of 1000..=768000 Hz; export the sound at 16000 Hz"
    )]
    SampleRate {
        /// Sample rate in Hz.
        sample_rate: u32,
    },
}

/// Rejects sizes of 0 in a configuration.
pub(crate) fn check_sizes<const N: usize>(sizes: [(&'static str, usize); N]) -> Result<()> {
    match sizes.into_iter().find(|(_, size)| *size == 0) {
        None => Ok(()),
        Some((field, _)) => Err(Error::Config {
            field,
            problem: "is 0: make it 1 or more".to_owned(),
        }),
    }
}
