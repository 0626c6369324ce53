//! Decoding of sound files to mono samples.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::{
    CODEC_TYPE_ADPCM_IMA_WAV, CODEC_TYPE_ADPCM_MS, CODEC_TYPE_FLAC, CODEC_TYPE_MP3,
    CODEC_TYPE_NULL, CODEC_TYPE_VORBIS, CodecParameters, DecoderOptions,
};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;

use crate::error::{Error, Result};
use crate::waveform::Waveform;

/// Tolerance in frames between the announced and the decoded length of a lossy file: encoders
/// announce whole blocks, and decoders trim the first and the last.
const LOSSY_SLACK: usize = 8192;

/// Conversion of several channels to one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Downmix {
    /// Mean of all channels, so that a sound on either side is heard.
    #[default]
    Average,
    /// First channel, from which ImageBind's own data code computes its features.
    First,
}

/// Options of decoding.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DecodeOptions {
    /// Conversion of several channels to one.
    pub downmix: Downmix,
    /// Maximum length in seconds; longer sounds are rejected, never silently cut. Three clips of
    /// two seconds represent longer sounds poorly, and the limit bounds the memory that a file can
    /// require.
    pub max_seconds: f64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            downmix: Downmix::Average,
            max_seconds: 600.0,
        }
    }
}

impl Waveform {
    /// Reads a WAV, FLAC, Ogg Vorbis or MP3 file with the default [`DecodeOptions`].
    ///
    /// # Errors
    /// See [`open_with`](Self::open_with).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &DecodeOptions::default())
    }

    /// Reads a file with the given options.
    ///
    /// # Errors
    /// When the file cannot be read; also see [`decode_with`](Self::decode_with).
    pub fn open_with(path: impl AsRef<Path>, options: &DecodeOptions) -> Result<Self> {
        open(path.as_ref(), options)
    }

    /// Decodes the content of a file with the default [`DecodeOptions`]; `name` appears in
    /// messages, and its extension serves as a hint.
    ///
    /// # Errors
    /// See [`decode_with`](Self::decode_with).
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        Self::decode_with(bytes, name, &DecodeOptions::default())
    }

    /// Decodes the content of a file with the given options.
    ///
    /// # Errors
    /// When `bytes` is empty, damaged, without samples or of an unsupported format, when the sound
    /// ends before the length announced by its header, or when it is longer than
    /// [`DecodeOptions::max_seconds`].
    pub fn decode_with(bytes: &[u8], name: &str, options: &DecodeOptions) -> Result<Self> {
        decode(bytes, name, options)
    }
}

/// Reads and decodes a file.
fn open(path: &Path, options: &DecodeOptions) -> Result<Waveform> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let name = path.display().to_string();
    let metadata = std::fs::metadata(path).map_err(read)?;
    if metadata.is_dir() {
        return Err(read(ErrorKind::IsADirectory.into()));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Err(Error::Empty { name });
    }
    let file = File::open(path).map_err(read)?;
    decode_source(Box::new(file), &name, options)
}

/// Decodes bytes.
fn decode(bytes: &[u8], name: &str, options: &DecodeOptions) -> Result<Waveform> {
    if bytes.is_empty() {
        return Err(Error::Empty {
            name: name.to_owned(),
        });
    }
    decode_source(Box::new(Cursor::new(bytes.to_vec())), name, options)
}

/// Decodes, and converts a panic of the format reader to an error; some broken headers cause one,
/// such as a sample rate of 0 in a WAV file. Partial state of the reader is discarded.
fn decode_source(
    source: Box<dyn MediaSource>,
    name: &str,
    options: &DecodeOptions,
) -> Result<Waveform> {
    catch_unwind(AssertUnwindSafe(|| read_source(source, name, options))).unwrap_or_else(|_| {
        let reason = "its header makes no sense".to_owned();
        Err(Error::Damaged {
            name: name.to_owned(),
            reason,
        })
    })
}

fn read_source(
    source: Box<dyn MediaSource>,
    name: &str,
    options: &DecodeOptions,
) -> Result<Waveform> {
    let mut reader = format_reader(source, name)?;
    let track = reader
        .tracks()
        .iter()
        .find(|track| track.codec_params.codec != CODEC_TYPE_NULL)
        .ok_or_else(|| unsupported(name, "no audio track"))?;
    let (id, parameters) = (track.id, track.codec_params.clone());
    let packets = Packets {
        name,
        options,
        id,
        parameters,
    };
    packets.decode(reader.as_mut())
}

/// Detects the format and opens its reader.
fn format_reader(source: Box<dyn MediaSource>, name: &str) -> Result<Box<dyn FormatReader>> {
    let seekable = source.is_seekable();
    let reader = probe(source, name)?;
    let is_mp3 = |track: &Track| track.codec_params.codec == CODEC_TYPE_MP3;
    if !seekable || !reader.tracks().iter().any(is_mp3) {
        return Ok(reader);
    }
    // Without a length in the header, the MP3 reader estimates one from the first frames and the
    // file's length, and truncates longer files. A stream without seeking gets no estimate.
    let mut stream = reader.into_inner();
    stream
        .seek(SeekFrom::Start(0))
        .map_err(|error| damaged(name, Symphonia::IoError(error)))?;
    probe(Box::new(ReadOnlySource::new(stream)), name)
}

/// Opens the reader of the format that the first bytes indicate.
fn probe(source: Box<dyn MediaSource>, name: &str) -> Result<Box<dyn FormatReader>> {
    let stream = MediaSourceStream::new(source, Default::default());
    let mut hint = Hint::new();
    if let Some(extension) = Path::new(name).extension().and_then(|e| e.to_str()) {
        hint.with_extension(extension);
    }
    // Encoders pad the start and the end of MP3 and Vorbis; the padding is not part of the sound.
    let format = FormatOptions {
        enable_gapless: true,
        ..Default::default()
    };
    let probed = symphonia::default::get_probe()
        .format(&hint, stream, &format, &MetadataOptions::default())
        .map_err(|error| opening_error(name, error))?;
    Ok(probed.format)
}

/// Packets of one track with their decoder state.
struct Packets<'a> {
    name: &'a str,
    options: &'a DecodeOptions,
    id: u32,
    parameters: CodecParameters,
}

impl Packets<'_> {
    fn decode(&self, reader: &mut dyn FormatReader) -> Result<Waveform> {
        let name = self.name;
        // The decoder of these two codecs reads past its buffer when a header is wrong, and panics.
        if [CODEC_TYPE_ADPCM_IMA_WAV, CODEC_TYPE_ADPCM_MS].contains(&self.parameters.codec) {
            return Err(unsupported(name, "ADPCM"));
        }
        let mut decoder = symphonia::default::get_codecs()
            .make(&self.parameters, &DecoderOptions::default())
            .map_err(|error| opening_error(name, error))?;
        let mut samples = Vec::new();
        let mut sample_rate = None;
        let mut buffer: Option<SampleBuffer<f32>> = None;
        let (mut packets, mut broken) = (0usize, 0usize);
        loop {
            let packet = match reader.next_packet() {
                Ok(packet) if packet.track_id() == self.id => packet,
                Ok(_) => continue,
                // The reader reports the end of the file as an error of this kind.
                Err(Symphonia::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(Symphonia::ResetRequired) => {
                    return Err(unsupported(name, "several sounds are chained in one file"));
                }
                Err(error) => return Err(damaged(name, error)),
            };
            packets += 1;
            let decoded = match decoder.decode(&packet) {
                Ok(decoded) => decoded,
                Err(Symphonia::IoError(_) | Symphonia::DecodeError(_)) => {
                    broken += 1;
                    continue;
                }
                Err(error) => return Err(damaged(name, error)),
            };
            let spec = *decoded.spec();
            let channels = spec.channels.count();
            if *sample_rate.get_or_insert(spec.rate) != spec.rate {
                return Err(unsupported(name, "the sample rate changes midway"));
            }
            if decoded.frames() == 0 || channels == 0 {
                continue;
            }
            let needed = decoded.capacity() * channels;
            if buffer
                .as_ref()
                .is_none_or(|buffer| buffer.capacity() < needed)
            {
                buffer = Some(SampleBuffer::new(decoded.capacity() as u64, spec));
            }
            let buffer = buffer.as_mut().expect("just made");
            buffer.copy_interleaved_ref(decoded);
            self.downmix(buffer.samples(), channels, &mut samples);
            if samples.len() as f64 > self.options.max_seconds * f64::from(spec.rate) {
                let limit_seconds = self.options.max_seconds;
                return Err(Error::TooLong {
                    name: name.to_owned(),
                    limit_seconds,
                });
            }
        }
        // A click from one lost packet is harmless; a mostly damaged file is rejected.
        if broken * 10 > packets {
            let reason = format!("{broken} of {packets} packets cannot be decoded");
            return Err(Error::Damaged {
                name: name.to_owned(),
                reason,
            });
        }
        let sample_rate = sample_rate
            .or(self.parameters.sample_rate)
            .unwrap_or_default();
        self.check_length(samples.len(), sample_rate)?;
        // Samples of the last block beyond the announced end are padding.
        if let Some(frames) = self.announced_frames().filter(|frames| *frames > 0) {
            let end = usize::try_from(frames).unwrap_or(usize::MAX);
            if samples.len().saturating_sub(end) <= LOSSY_SLACK {
                samples.truncate(end);
            }
        }
        Ok(Waveform {
            samples,
            sample_rate,
        })
    }

    fn downmix(&self, interleaved: &[f32], channels: usize, samples: &mut Vec<f32>) {
        let frames = interleaved.chunks_exact(channels);
        match self.options.downmix {
            Downmix::First => samples.extend(frames.map(|frame| frame[0])),
            Downmix::Average => {
                let scale = 1.0 / channels as f32;
                samples.extend(frames.map(|frame| frame.iter().sum::<f32>() * scale));
            }
        }
    }

    fn check_length(&self, found: usize, sample_rate: u32) -> Result<()> {
        let name = self.name.to_owned();
        let expected = self.announced_frames().unwrap_or(0);
        let slack = match self.parameters.codec {
            CODEC_TYPE_MP3 | CODEC_TYPE_VORBIS => LOSSY_SLACK as u64,
            _ => 0,
        };
        if (found as u64).saturating_add(slack) < expected {
            let seconds = |frames: u64| frames as f64 / f64::from(sample_rate.max(1));
            return Err(Error::Truncated {
                name,
                expected_seconds: seconds(expected),
                found_seconds: seconds(found as u64),
            });
        }
        if found == 0 || sample_rate == 0 {
            return Err(Error::Damaged {
                name,
                reason: "it holds no samples".to_owned(),
            });
        }
        Ok(())
    }

    /// Frames announced by the header, if credible: programs that write WAV to a pipe put the
    /// largest number there.
    fn announced_frames(&self) -> Option<u64> {
        let frames = self.parameters.n_frames?;
        if matches!(
            self.parameters.codec,
            CODEC_TYPE_MP3 | CODEC_TYPE_VORBIS | CODEC_TYPE_FLAC
        ) {
            return Some(frames);
        }
        let channels = self
            .parameters
            .channels
            .map_or(1, |channels| channels.count()) as u64;
        let bits = self
            .parameters
            .bits_per_coded_sample
            .or(self.parameters.bits_per_sample);
        let frame_bytes = channels * u64::from(bits.unwrap_or(8).div_ceil(8));
        let piped = frames.saturating_mul(frame_bytes) >= (1 << 31) - (1 << 16);
        (!piped).then_some(frames)
    }
}

/// Converts an error before the first packet: the container or codec is unknown, or its header is
/// broken.
fn opening_error(name: &str, error: Symphonia) -> Error {
    match error {
        Symphonia::Unsupported(reason) => unsupported(name, reason),
        error => damaged(name, error),
    }
}

fn unsupported(name: &str, reason: &str) -> Error {
    Error::Unsupported {
        name: name.to_owned(),
        reason: reason.to_owned(),
    }
}

fn damaged(name: &str, error: Symphonia) -> Error {
    let reason = match error {
        Symphonia::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "it ends too early".to_owned()
        }
        error => error.to_string(),
    };
    Error::Damaged {
        name: name.to_owned(),
        reason,
    }
}
