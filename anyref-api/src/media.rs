//! Decoding of pictures and sounds in requests, within limits.

use std::io::Cursor;

use anyref_audio::{DecodeOptions, Waveform};
use anyref_core::Error as ModelError;
use anyref_vision::preprocess::{decode_image, decode_mask};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use http::StatusCode;
use image::{GrayImage, ImageReader, RgbImage};

use crate::limits::QuestionLimits;
use crate::problem::{Outcome, Problem, one_line};

/// Base64 codec that accepts input with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes a `data:` URL or plain Base64.
///
/// # Errors
/// When the text is another URL, or not Base64.
pub fn bytes(text: &str, field: &str) -> Outcome<Vec<u8>> {
    if text.starts_with("http:") || text.starts_with("https:") || text.starts_with("file:") {
        let message = "addresses are not fetched: send the file itself, as a data: URL";
        return Err(Problem::bad("url", message).at(field));
    }
    let wrong = |message: &str| Problem::bad("base64", message).at(field);
    let encoded = match text.strip_prefix("data:") {
        Some(rest) => {
            let (head, encoded) = rest
                .split_once(',')
                .ok_or_else(|| wrong("the data: URL has no comma before its data"))?;
            if !head.ends_with(";base64") {
                return Err(wrong(
                    "the data: URL is not in Base64: write data:…;base64,…",
                ));
            }
            encoded
        }
        None => text,
    };
    let encoded: Vec<u8> = encoded
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64
        .decode(encoded)
        .map_err(|error| wrong(&format!("not Base64: {error}")))
}

/// Encodes bytes as Base64.
pub fn base64(bytes: &[u8]) -> String {
    general_purpose::STANDARD.encode(bytes)
}

/// Encodes bytes as a `data:` URL in Base64.
pub fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", base64(bytes))
}

/// Number of pixels announced by a picture's header; 0 if it cannot be read.
pub fn announced_pixels(file: &[u8]) -> u64 {
    let reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .ok();
    let size = reader.and_then(|reader| reader.into_dimensions().ok());
    size.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
}

/// Rejects pictures that are too large, before they are decoded.
///
/// # Errors
/// When the picture has more pixels than `limits` allow.
pub fn check_pixels(file: &[u8], limits: &QuestionLimits, field: &str) -> Outcome<u64> {
    let pixels = announced_pixels(file);
    match pixels > limits.pixels {
        true => {
            let most = limits.pixels;
            let message =
                format!("the picture has {pixels} pixels, {most} are taken: make it smaller");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Err(Problem::new(status, "too_many_pixels", message).at(field))
        }
        false => Ok(pixels),
    }
}

/// Decodes a picture.
///
/// # Errors
/// When the picture is damaged or of an unknown format.
pub fn picture(file: &[u8], name: &str, field: &str) -> Outcome<RgbImage> {
    decode_image(file, name).map_err(|error| unreadable(error.into(), field))
}

/// Decodes a mask, in which the thing is white.
///
/// # Errors
/// When the mask cannot be read, or is entirely black.
pub fn mask(file: &[u8], name: &str, field: &str) -> Outcome<GrayImage> {
    let mask = decode_mask(file, name).map_err(|error| unreadable(error.into(), field))?;
    if mask.pixels().all(|pixel| pixel[0] < 128) {
        let message = "the mask is black all over: paint the thing white";
        return Err(Problem::bad("empty_mask", message).at(field));
    }
    Ok(mask)
}

/// Decodes a sound.
///
/// # Errors
/// When the sound is longer than `limits` allow, damaged, or of an unknown format.
pub fn sound(file: &[u8], name: &str, limits: &QuestionLimits, field: &str) -> Outcome<Waveform> {
    let options = DecodeOptions {
        max_seconds: limits.sound_seconds,
        ..DecodeOptions::default()
    };
    Waveform::decode_with(file, name, &options).map_err(|error| match error {
        anyref_audio::Error::TooLong { limit_seconds, .. } => {
            let message =
                format!("the sound is longer than {limit_seconds} s: cut out what matters");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "sound_too_long", message).at(field)
        }
        error => unreadable(error.into(), field),
    })
}

/// Name for messages.
pub fn shown_name(given: Option<&str>, otherwise: &str) -> String {
    let name = one_line(given.unwrap_or_default());
    let name: String = name
        .chars()
        .filter(|sign| !sign.is_control())
        .take(100)
        .collect();
    if name.is_empty() {
        otherwise.to_owned()
    } else {
        name
    }
}

fn unreadable(error: ModelError, field: &str) -> Problem {
    Problem::from(error).at(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_comes_as_a_url_or_bare_and_addresses_are_not_fetched() {
        assert_eq!(bytes("data:image/png;base64,AQID", "x").unwrap(), [1, 2, 3]);
        assert_eq!(bytes("AQ ID\n", "x").unwrap(), [1, 2, 3]);
        assert_eq!(bytes("AQ", "x").unwrap(), bytes("AQ==", "x").unwrap());
        for (bad, code) in [
            ("http://localhost/a.png", "url"),
            ("file:///etc/passwd", "url"),
            ("data:image/png,abc", "base64"),
            ("data:image/png;base64", "base64"),
            ("*", "base64"),
        ] {
            let problem = bytes(bad, "picture").unwrap_err();
            assert_eq!(
                (problem.code, problem.param.as_deref()),
                (code, Some("picture"))
            );
        }
    }

    #[test]
    fn names_are_shown_on_one_line() {
        assert_eq!(shown_name(Some("a\n\u{1b}[31mb.png"), "x"), "a [31mb.png");
        assert_eq!(shown_name(Some(" "), "the picture"), "the picture");
        assert_eq!(shown_name(Some(&"x".repeat(999)), "").len(), 100);
    }
}
