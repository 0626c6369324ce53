//! Polygons against pycocotools, pixel for pixel.

use anyref_data::datasets::{Counts, Error, RunLengths, Segmentation, rasterise};
use anyref_decoder::rle::{Merge, Rle};
use serde::Deserialize;

use crate::support::folder;

#[derive(Deserialize)]
struct Case {
    size: [usize; 2],
    polygons: Vec<Vec<f64>>,
    each: Vec<String>,
    merged: String,
}

#[test]
fn masks_are_those_of_pycocotools() {
    let file = std::fs::read(folder("polygons.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&file).unwrap();
    assert!(cases.len() >= 200);
    // Counts masks that are not empty, so that the comparison is not vacuous.
    let mut some = 0;
    for case in &cases {
        for (polygon, wanted) in case.polygons.iter().zip(&case.each) {
            let mask = rasterise(std::slice::from_ref(polygon), case.size).unwrap();
            assert_eq!(
                mask.to_mask(),
                decoded(wanted, case.size),
                "{polygon:?} in {:?}",
                case.size
            );
        }
        let mask = rasterise(&case.polygons, case.size).unwrap();
        assert_eq!(mask.to_compressed(), canonical(&case.merged, case.size));
        some += usize::from(mask.area() > 0);
    }
    assert!(some > 150, "{some}");
}

fn decoded(counts: &str, size: [usize; 2]) -> Vec<bool> {
    Rle::from_compressed(counts, size).unwrap().to_mask()
}

fn canonical(counts: &str, size: [usize; 2]) -> String {
    Rle::from_compressed(counts, size).unwrap().to_compressed()
}

#[test]
fn a_union_is_the_merge_of_its_parts() {
    let (a, b) = (
        vec![1.0, 1.0, 9.0, 2.0, 5.0, 8.0],
        vec![4.0, 4.0, 12.0, 4.0, 12.0, 12.0],
    );
    let size = [14, 15];
    let [one, two] =
        [&a, &b].map(|polygon| rasterise(std::slice::from_ref(polygon), size).unwrap());
    let both = rasterise(&[a, b], size).unwrap();
    assert_eq!(both, Rle::merge([&one, &two], Merge::Union).unwrap());
    assert_eq!(rasterise(&[], size).unwrap().area(), 0);
}

#[test]
fn polygons_of_no_sense_are_refused() {
    for polygon in [
        vec![],
        vec![1.0, 2.0],
        vec![1.0, 2.0, 3.0, 4.0, 5.0],
        vec![0.0, 0.0, f64::NAN, 1.0, 1.0, 1.0],
        vec![0.0, 0.0, 1e300, 1.0, 1.0, 1.0],
        vec![0.0, 0.0, f64::NEG_INFINITY, 1.0, 1.0, 1.0],
    ] {
        let error = rasterise(std::slice::from_ref(&polygon), [8, 8]).unwrap_err();
        assert!(matches!(error, Error::Mask { .. }), "{polygon:?}: {error}");
    }
}

#[test]
fn all_forms_of_a_mask_are_the_same_mask() {
    let polygons = vec![vec![2.0, 1.0, 12.5, 3.0, 9.0, 9.0]];
    let size = [16, 10];
    let rle = Segmentation::Polygons(polygons).to_rle(size).unwrap();
    let runs = |counts| RunLengths {
        size: [10, 16],
        counts,
    };
    let form = |counts| Segmentation::Runs(runs(counts));
    let plain = form(Counts::Plain(rle.counts().to_vec()));
    let packed = form(Counts::Compressed(rle.to_compressed()));
    assert!(rle.area() > 10);
    assert_eq!(plain.to_rle(size).unwrap(), rle);
    assert_eq!(packed.to_rle(size).unwrap(), rle);
    // RefCLEF's segments, whose union is the mask.
    let corner = runs(Counts::Plain(vec![0, 1, 159]));
    let segments = Segmentation::Segments(vec![
        corner.clone(),
        runs(Counts::Plain(rle.counts().to_vec())),
    ]);
    let written = serde_json::to_string(&segments).unwrap();
    let read: Segmentation = serde_json::from_str(&written).unwrap();
    assert_eq!(read, segments);
    let corner = Segmentation::Runs(corner).to_rle(size).unwrap();
    let both = Rle::merge([&corner, &rle], Merge::Union).unwrap();
    assert_eq!(read.to_rle(size).unwrap(), both);
    assert_eq!(both.area(), rle.area() + 1);
    // Run lengths for another picture size, and too few.
    assert!(matches!(packed.to_rle([10, 16]), Err(Error::Size { .. })));
    assert!(matches!(
        form(Counts::Plain(vec![3])).to_rle(size),
        Err(Error::Mask { .. })
    ));
}
