//! Preprocessing compared with Pillow, segment-anything and torch.

use anyref_ops::testing::{assert_close, max_abs_difference};
use anyref_vision::preprocess::{ClipPreprocessor, Filter, PixelValues, SamPreprocessor, resize};
use anyref_weights::testing::Fixture;
use burn::tensor::TensorData;
use image::{Rgb, RgbImage};

type TestBackend = burn_flex::Flex;

const PICTURES: usize = 4;

fn fixture() -> Fixture {
    Fixture::open("tests/fixtures/preprocess.safetensors")
}

fn picture(data: &TensorData) -> RgbImage {
    let (height, width) = (data.shape[0] as u32, data.shape[1] as u32);
    RgbImage::from_raw(width, height, data.to_vec::<u8>().unwrap()).unwrap()
}

fn data(pixels: &PixelValues) -> TensorData {
    TensorData::new(pixels.data.clone(), pixels.shape)
}

#[test]
fn resizing_equals_pillow_to_the_bit() {
    let fixture = fixture();
    for index in 0..PICTURES {
        let source = picture(&fixture.data(&format!("{index}.picture")));
        for (name, filter) in [("bilinear", Filter::Bilinear), ("bicubic", Filter::Bicubic)] {
            for (width, height) in [(40, 30), (37, 90), (7, 5), (1, 1), (71, 20)] {
                let expected = fixture.data(&format!("{index}.{name}.{width}x{height}"));
                let resized = resize(&source, width, height, filter);
                let error = max_abs_difference(
                    &TensorData::new(resized.into_raw(), expected.shape.clone()),
                    &expected,
                );
                assert_eq!(error, 0.0, "{index} {name} {width}x{height}");
            }
        }
    }
}

#[test]
fn clip_pixels_equal_the_two_step_reference() {
    let fixture = fixture();
    for index in 0..PICTURES {
        let source = picture(&fixture.data(&format!("{index}.picture")));
        let pixels = ClipPreprocessor::new(24).process(&source);
        let error = max_abs_difference(&data(&pixels), &fixture.data(&format!("{index}.clip")));
        assert!(error <= 1e-5, "{index}: {error}");
    }
}

#[test]
fn sam_pixels_equal_segment_anything() {
    let fixture = fixture();
    for index in 0..PICTURES {
        let source = picture(&fixture.data(&format!("{index}.picture")));
        let result = SamPreprocessor::new(40).process(&source);
        let error = max_abs_difference(
            &data(&result.pixels),
            &fixture.data(&format!("{index}.sam")),
        );
        assert!(error <= 1e-5, "{index}: {error}");
        let size = fixture.data(&format!("{index}.sam.resized_size"));
        let size: Vec<usize> = size.iter::<i64>().map(|side| side as usize).collect();
        assert_eq!(result.resized_size.to_vec(), size);
        assert_eq!(
            result.original_size,
            [source.height() as usize, source.width() as usize]
        );
    }
}

#[test]
fn extreme_aspects_stay_cheap_and_finite() {
    for (width, height) in [(1, 1), (1, 20_000), (20_000, 1), (2, 60_000)] {
        let source = RgbImage::from_pixel(width, height, Rgb([10, 200, 90]));
        let clip = ClipPreprocessor::new(224).process(&source);
        assert_eq!(clip.shape, [3, 224, 224]);
        let expected = (10.0 / 255.0 - 0.481_454_66) / 0.268_629_54;
        assert!(
            clip.data[..224 * 224]
                .iter()
                .all(|value: &f32| (value - expected).abs() < 1e-5)
        );
        let sam = SamPreprocessor::new(1024).process(&source);
        assert_eq!(sam.resized_size.iter().max(), Some(&1024));
        assert_eq!(
            sam.resized_size.iter().min(),
            Some(&if width == height { 1024 } else { 1 })
        );
        assert_eq!(sam.pixels.shape, [3, 1024, 1024]);
    }
}

#[test]
fn padding_is_zero_after_normalisation() {
    let source = RgbImage::from_pixel(8, 4, Rgb([0, 0, 0]));
    let sam = SamPreprocessor::new(16).process(&source);
    let black = -123.675 / 58.395;
    for (index, value) in sam.pixels.data[..256].iter().enumerate() {
        let expected = if index / 16 < 8 { black } else { 0.0 };
        assert!((value - expected).abs() < 1e-6, "{index} {value}");
    }
}

#[test]
fn pixels_become_tensors() {
    let picture = |level| {
        let source = RgbImage::from_pixel(5, 9, Rgb([level; 3]));
        ClipPreprocessor::new(8).process(&source)
    };
    let device = Default::default();
    let pictures = [picture(0), picture(255)];
    let batch = PixelValues::batch::<TestBackend>(&pictures, &device);
    assert_eq!(batch.dims(), [2, 3, 8, 8]);
    let second = pictures[1].to_tensor::<TestBackend>(&device);
    assert_close(&batch.narrow(0, 1, 1), &second.unsqueeze(), 0.0);
}
