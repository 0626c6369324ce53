//! Automatic masks compared with segment-anything's generator: by a SAM, and by a decoder that
//! colours the regions of a picture.

use std::collections::BTreeMap;

use anyref_core::{
    AutomaticMask, AutomaticMaskConfig, Cancel, Error, PointMasks, SamPicture, automatic_masks,
};
use anyref_decoder::MaskDecoderOutput;
use anyref_decoder::rle::Rle;
use anyref_vision::preprocess::SamPreprocessor;
use burn::tensor::{Tensor, TensorData, read_sync};
use image::{Rgb, RgbImage};
use serde::Deserialize;

use crate::common::TestBackend;
use crate::parts::published;
use crate::sam_alone::{sam, structured};

const SIDE: usize = 128;
const LOW: usize = 32;

#[derive(Deserialize)]
struct Case {
    size: [u32; 2],
    config: BTreeMap<String, serde_json::Value>,
    masks: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    counts: String,
    bbox: [f64; 4],
    predicted_iou: f32,
    point: [f64; 2],
    stability: f32,
    crop_box: [f64; 4],
}

fn cases() -> BTreeMap<String, Case> {
    let text = std::fs::read_to_string(published("sam_alone.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Default config with the case's changes.
fn config(case: &Case) -> AutomaticMaskConfig {
    let mut config = serde_json::to_value(AutomaticMaskConfig::new()).unwrap();
    for (field, value) in &case.config {
        assert!(!config[field].is_null(), "{field}");
        config[field] = value.clone();
    }
    serde_json::from_value(config).unwrap()
}

/// Decoder whose masks of a point are the cells of its colour, those of it and the next colour, and
/// a ramp that is not stable. The embedding holds the colours.
struct Colours;

impl PointMasks<TestBackend> for Colours {
    fn picture(&self, image: &RgbImage) -> anyref_core::Result<SamPicture<TestBackend>> {
        let pixels = SamPreprocessor::new(SIDE).process(image);
        let cell = |index: usize, original: usize, resized: usize| {
            let at = (2 * index + 1) * SIDE * original / (2 * LOW * resized);
            at.min(original - 1) as u32
        };
        let ([height, width], [rows, columns]) = (pixels.original_size, pixels.resized_size);
        let colours: Vec<f32> = (0..LOW * LOW)
            .map(|index| {
                let (y, x) = (
                    cell(index / LOW, height, rows),
                    cell(index % LOW, width, columns),
                );
                f32::from(image.get_pixel(x, y)[0])
            })
            .collect();
        let embedding = TensorData::new(colours, [1, 1, LOW, LOW]);
        let embedding = Tensor::from_data(embedding, &Default::default());
        Ok(SamPicture::new(embedding, &pixels))
    }

    fn masks_of_points(
        &self,
        picture: &SamPicture<TestBackend>,
        points: &[[f64; 2]],
    ) -> MaskDecoderOutput<TestBackend> {
        let colours: Vec<f32> = picture.embedding().to_data().to_vec().unwrap();
        let (mut low, mut estimates) = (Vec::new(), Vec::new());
        for &point in points {
            let [x, y] = picture.to_input(point).map(|at| {
                let cell = (at * LOW as f64 / SIDE as f64).floor();
                (cell as usize).min(LOW - 1)
            });
            let colour = colours[y * LOW + x];
            let same = |cell: &f32| if *cell == colour { 6.0 } else { -6.0 };
            low.extend(colours.iter().map(same));
            let both = |cell: &f32| {
                let found = *cell == colour || *cell == colour + 1.0;
                if found { 8.0 } else { -4.0 }
            };
            low.extend(colours.iter().map(both));
            low.extend((0..LOW * LOW).map(|index| (index % LOW) as f32 / 16.0 - 2.0));
            estimates.extend([0.875 + colour / 1024.0, 0.9375 - colour / 512.0, 0.953125]);
        }
        let device = Default::default();
        let low = TensorData::new(low, [points.len(), 3, LOW, LOW]);
        let estimates = TensorData::new(estimates, [points.len(), 3]);
        MaskDecoderOutput {
            low_res_masks: Tensor::from_data(low, &device),
            iou_predictions: Tensor::from_data(estimates, &device),
        }
    }

    fn image_size(&self) -> usize {
        SIDE
    }
}

/// Picture of flat colours of `export_sam.py`.
fn regions([height, width]: [u32; 2]) -> RgbImage {
    let (h, w) = (i64::from(height), i64::from(width));
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        let mut red = 8 * (x * 3 / w) + 2 * (y * 2 / h);
        if (x - w / 3).pow(2) + (y - h / 3).pow(2) < (h / 5).pow(2) {
            red = 30;
        }
        if x > w - 40 && y > h - 30 {
            red = 31;
        }
        if x % 37 < 6 && y % 41 < 6 {
            red = 20;
        }
        Rgb([red as u8; 3])
    })
}

fn generated<S: PointMasks<TestBackend>>(
    source: &S,
    image: &RgbImage,
    config: &AutomaticMaskConfig,
) -> anyref_core::Result<Vec<AutomaticMask>> {
    let (mut told, cancel) = (Vec::new(), Cancel::new());
    let mut on_points = |done, total| told.push((done, total));
    let found = read_sync(automatic_masks(
        source,
        image,
        config,
        &mut on_points,
        &cancel,
    ));
    if found.is_ok() {
        let &(done, total) = told.last().unwrap();
        assert_eq!(done, total);
        assert!(told.is_sorted());
    }
    found
}

/// Asserts equal masks in equal order.
fn assert_same(name: &str, case: &Case, found: &[AutomaticMask]) {
    assert_eq!(found.len(), case.masks.len(), "{name}");
    assert!(!found.is_empty(), "{name}");
    let [height, width] = case.size.map(|side| side as usize);
    for (index, (ours, theirs)) in found.iter().zip(&case.masks).enumerate() {
        let name = format!("{name} {index}");
        let mask = Rle::from_compressed(&theirs.counts, [height, width]).unwrap();
        let iou = ours.mask.rle.iou(&mask).unwrap();
        assert!(iou >= 0.999, "{name}: {iou}");
        assert!(
            (ours.predicted_iou - theirs.predicted_iou).abs() <= 1e-4,
            "{name}"
        );
        assert!(
            (ours.stability_score - theirs.stability).abs() <= 1e-3,
            "{name}"
        );
        for (ours, theirs) in ours.point.iter().zip(theirs.point) {
            assert!((ours - theirs).abs() <= 1e-9, "{name}");
        }
        let [x, y, across, down] = theirs.crop_box;
        let crop = [x, y, x + across, y + down].map(|edge| edge as u32);
        assert_eq!(ours.crop_box, crop, "{name}");
        // The reference's boxes end at the last pixel.
        let [x0, y0, x1, y1] = ours.mask.bounding_box().map(f64::from);
        let bbox = [x0, y0, x1 - 1.0 - x0, y1 - 1.0 - y0];
        assert_eq!(bbox, theirs.bbox, "{name}");
    }
}

#[test]
fn masks_by_weights_are_those_of_the_reference() {
    let (sam, cases) = (sam(), cases());
    for name in ["weights", "weights_crops", "weights_regions"] {
        let case = &cases[name];
        let image = structured(case.size[0], case.size[1]);
        let found = generated(&sam, &image, &config(case)).unwrap();
        assert_same(name, case, &found);
        if name == "weights" {
            let by_method = sam.automatic_masks(&image, &config(case)).unwrap();
            assert_same(name, case, &by_method);
        }
    }
}

#[test]
fn masks_of_colours_are_those_of_the_reference() {
    let cases = cases();
    for (name, case) in cases.iter().filter(|(name, _)| name.starts_with("colours")) {
        let found = generated(&Colours, &regions(case.size), &config(case)).unwrap();
        assert_same(name, case, &found);
    }
    // Ensures that crops and region removal change the result.
    let masks = |name: &str| cases[name].masks.iter().map(|mask| &mask.counts);
    assert!(!masks("colours_loose").eq(masks("colours_regions")));
    let crops = cases["colours_crops"].masks.iter();
    assert!(crops.filter(|mask| mask.crop_box[2] < 210.0).count() > 2);
}

#[test]
fn batches_change_nothing() {
    let case = &cases()["colours_crops"];
    let (image, usual) = (regions(case.size), config(case));
    let rle = |config: &AutomaticMaskConfig| -> Vec<Rle> {
        let found = generated(&Colours, &image, config).unwrap();
        found.into_iter().map(|mask| mask.mask.rle).collect()
    };
    assert_eq!(rle(&usual.clone().with_points_per_batch(5)), rle(&usual));
}

#[test]
fn a_search_is_cancelled_between_batches() {
    let (cancel, image) = (Cancel::new(), regions([60, 80]));
    let config = AutomaticMaskConfig::new().with_points_per_batch(10);
    let mut most = 0;
    let mut on_points = |done, _| {
        most = done;
        if done >= 30 {
            cancel.cancel();
        }
    };
    let found = read_sync(automatic_masks(
        &Colours,
        &image,
        &config,
        &mut on_points,
        &cancel,
    ));
    assert!(matches!(found, Err(Error::Cancelled)));
    assert_eq!(most, 30);
}

#[test]
fn small_pictures_and_bad_configs() {
    let layered = AutomaticMaskConfig::new()
        .with_points_per_side(4)
        .with_crop_n_layers(2);
    for (width, height) in [(1, 1), (1, 70), (90, 2)] {
        generated(&Colours, &RgbImage::new(width, height), &layered).unwrap();
    }
    let empty = generated(&Colours, &RgbImage::new(0, 4), &layered).unwrap_err();
    assert!(matches!(empty, Error::EmptyPicture));
    let refused = layered.with_points_per_side(0);
    let error = generated(&Colours, &RgbImage::new(4, 4), &refused).unwrap_err();
    assert!(error.to_string().contains("points_per_side"), "{error}");
}
