//! Valid and broken picture files.

use std::io::Cursor;

use anyref_vision::Error;
use anyref_vision::preprocess::{decode_image, open_image};
use image::{
    DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage,
};

const FORMATS: [ImageFormat; 7] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::Bmp,
    ImageFormat::Gif,
    ImageFormat::WebP,
    ImageFormat::Tiff,
    ImageFormat::Pnm,
];

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Picture with a red left half and a blue right half, twice as wide as high.
fn flag() -> RgbImage {
    RgbImage::from_fn(64, 32, |x, _| {
        if x < 32 {
            Rgb([250, 5, 5])
        } else {
            Rgb([5, 5, 250])
        }
    })
}

fn near(pixel: &Rgb<u8>, expected: [u8; 3], tolerance: u8) -> bool {
    pixel
        .0
        .iter()
        .zip(expected)
        .all(|(&a, b)| a.abs_diff(b) <= tolerance)
}

#[test]
fn reads_every_format() {
    for format in FORMATS {
        let image = decode_image(&encode(flag(), format), "flag").unwrap();
        assert_eq!(image.dimensions(), (64, 32), "{format:?}");
        assert!(near(image.get_pixel(4, 4), [250, 5, 5], 6), "{format:?}");
        assert!(near(image.get_pixel(60, 28), [5, 5, 250], 6), "{format:?}");
    }
}

#[test]
fn every_truncated_file_is_an_error() {
    let noisy = RgbImage::from_fn(64, 64, |x, y| {
        let level = (x * 7919 + y * 104_729) % 251;
        Rgb([level as u8, (level / 2) as u8, (255 - level) as u8])
    });
    for format in FORMATS {
        let bytes = encode(noisy.clone(), format);
        assert!(decode_image(&bytes, "whole").is_ok(), "{format:?}");
        for cut in [
            0,
            1,
            3,
            20,
            bytes.len() / 3,
            bytes.len() / 2,
            bytes.len() * 9 / 10,
        ] {
            let message = match decode_image(&bytes[..cut], "cut.img") {
                Ok(_) => panic!("{format:?} cut to {cut} of {} bytes was read", bytes.len()),
                Err(error) => error.to_string(),
            };
            assert!(
                message.contains("cut.img") && !message.contains('\n'),
                "{message}"
            );
        }
    }
}

#[test]
fn a_jpeg_with_bytes_after_its_end_is_read() {
    let mut bytes = encode(flag(), ImageFormat::Jpeg);
    bytes.extend_from_slice(b"appended by a camera");
    assert!(decode_image(&bytes, "flag.jpg").is_ok());
}

#[test]
fn a_complete_thumbnail_does_not_hide_truncation() {
    let thumbnail = encode(flag(), ImageFormat::Jpeg);
    let picture = encode(flag(), ImageFormat::Jpeg);
    let mut bytes = with_segment(&picture, 0xE1, &thumbnail);
    assert!(decode_image(&bytes, "flag.jpg").is_ok());
    bytes.truncate(bytes.len() - 40);
    assert!(matches!(
        decode_image(&bytes, "flag.jpg"),
        Err(Error::Damaged { .. })
    ));
}

#[test]
fn errors_tell_what_is_wrong() {
    let message = |bytes: &[u8]| decode_image(bytes, "x.png").unwrap_err().to_string();
    assert!(message(b"").contains("empty (0 bytes)"));
    assert!(message(b"<html>not found</html>").contains("convert it to PNG"));
    assert!(message(b"\x89PNG\r\n\x1a\nrubbish").contains("truncated or damaged"));
    let missing = open_image("no/such/picture.png").unwrap_err();
    assert!(matches!(missing, Error::Read { .. }));
    assert!(missing.to_string().contains("no/such/picture.png"));
    assert!(matches!(open_image("tests"), Err(Error::Read { .. })));
}

#[test]
fn pictures_of_absurd_size_are_refused_before_decoding() {
    let mut bytes = b"P6 60000 60000 255 ".to_vec();
    bytes.extend_from_slice(&[0; 64]);
    let error = decode_image(&bytes, "bomb.ppm").unwrap_err();
    assert!(
        matches!(error, Error::Size { width: 60_000, .. }),
        "{error}"
    );
}

#[test]
fn transparency_is_over_white() {
    let mut image = RgbaImage::from_pixel(3, 1, Rgba([10, 20, 30, 255]));
    image.put_pixel(1, 0, Rgba([10, 20, 30, 0]));
    image.put_pixel(2, 0, Rgba([0, 0, 0, 128]));
    let image = decode_image(&encode(image, ImageFormat::Png), "alpha").unwrap();
    assert_eq!(image.get_pixel(0, 0).0, [10, 20, 30]);
    assert_eq!(image.get_pixel(1, 0).0, [255; 3]);
    assert_eq!(image.get_pixel(2, 0).0, [127; 3]);
    let grey = ImageBuffer::from_pixel(2, 2, LumaA([0u8, 0]));
    let image = decode_image(&encode(grey, ImageFormat::Png), "alpha").unwrap();
    assert_eq!(image.get_pixel(1, 1).0, [255; 3]);
}

#[test]
fn grey_and_sixteen_bits_become_rgb() {
    let grey = GrayImage::from_pixel(2, 2, Luma([77]));
    let image = decode_image(&encode(grey, ImageFormat::Png), "grey").unwrap();
    assert_eq!(image.get_pixel(0, 1).0, [77; 3]);
    let deep = ImageBuffer::from_pixel(2, 2, Rgb([0u16, 0x80_80, 0xFF_FF]));
    let image = decode_image(&encode(deep, ImageFormat::Png), "deep").unwrap();
    assert_eq!(image.get_pixel(0, 1).0, [0, 128, 255]);
}

/// Inserts a segment right after the start of a JPEG.
fn with_segment(jpeg: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, marker];
    bytes.extend_from_slice(&(content.len() as u16 + 2).to_be_bytes());
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(&jpeg[2..]);
    bytes
}

/// Smallest EXIF block: one little-endian directory with the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    block.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

#[test]
fn pictures_are_turned_as_their_exif_data_says() {
    let jpeg = encode(flag(), ImageFormat::Jpeg);
    let turned = |orientation| {
        decode_image(&with_segment(&jpeg, 0xE1, &exif(orientation)), "turned.jpg").unwrap()
    };
    let red = |image: &RgbImage, x, y| near(image.get_pixel(x, y), [250, 5, 5], 10);
    for orientation in [1, 4] {
        let image = turned(orientation);
        assert!(
            image.dimensions() == (64, 32) && red(&image, 2, 16),
            "{orientation}"
        );
    }
    for orientation in [2, 3] {
        let image = turned(orientation);
        assert!(
            image.dimensions() == (64, 32) && red(&image, 61, 16),
            "{orientation}"
        );
    }
    // Transposed and turned right: the left side comes to the top. Turned left and transversed: to
    // the bottom.
    for orientation in [5, 6] {
        let image = turned(orientation);
        assert!(
            image.dimensions() == (32, 64) && red(&image, 16, 2),
            "{orientation}"
        );
    }
    for orientation in [7, 8] {
        let image = turned(orientation);
        assert!(
            image.dimensions() == (32, 64) && red(&image, 16, 61),
            "{orientation}"
        );
    }
    // Out of range: shown as stored.
    assert_eq!(turned(9).dimensions(), (64, 32));
}
