//! Run-length encoding compared with pycocotools, and rejection of invalid strings.

use anyref_decoder::Error;
use anyref_decoder::rle::{MAX_PIXELS, Merge, Rle};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    masks: Vec<GoldenMask>,
    pairs: Vec<GoldenPair>,
}

#[derive(Deserialize)]
struct GoldenMask {
    size: [usize; 2],
    /// Run lengths in row-major order, off first.
    runs: Vec<usize>,
    counts: String,
    area: u64,
    bbox: [usize; 4],
}

impl GoldenMask {
    fn pixels(&self) -> Vec<bool> {
        let runs = self.runs.iter().enumerate();
        runs.flat_map(|(index, &run)| std::iter::repeat_n(index % 2 == 1, run))
            .collect()
    }
}

#[derive(Deserialize)]
struct GoldenPair {
    left: usize,
    right: usize,
    iou: f64,
    crowd: f64,
    union: String,
    intersection: String,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("fixtures/rle.json")).expect("the fixture is JSON")
}

#[test]
fn strings_areas_and_boxes_are_those_of_pycocotools() {
    for mask in golden().masks {
        let rle = Rle::from_mask(&mask.pixels(), mask.size).unwrap();
        assert_eq!(rle.to_compressed(), mask.counts);
        assert_eq!(rle.area(), mask.area);
        assert_eq!(rle.bbox(), mask.bbox);
        let read = Rle::from_compressed(&mask.counts, mask.size).unwrap();
        assert_eq!(read, rle);
        assert_eq!(read.to_mask(), mask.pixels());
        assert_eq!(Rle::from_counts(rle.counts(), mask.size).unwrap(), rle);
    }
}

#[test]
fn overlaps_and_merges_are_those_of_pycocotools() {
    let Golden { masks, pairs } = golden();
    assert!(pairs.len() > 50);
    let rle = |index: usize| Rle::from_compressed(&masks[index].counts, masks[index].size).unwrap();
    for pair in pairs {
        let (left, right) = (rle(pair.left), rle(pair.right));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(left.iou(&right).unwrap(), pair.iou));
        assert!(close(left.iou_crowd(&right).unwrap(), pair.crowd));
        let merged = |merge| Rle::merge([&left, &right], merge).unwrap().to_compressed();
        assert_eq!(merged(Merge::Union), pair.union);
        assert_eq!(merged(Merge::Intersection), pair.intersection);
    }
}

#[test]
fn masks_of_no_pixels_are_empty() {
    for size in [[0, 0], [0, 5], [5, 0]] {
        let rle = Rle::from_mask(&[], size).unwrap();
        assert_eq!((rle.area(), rle.bbox(), rle.to_mask()), (0, [0; 4], vec![]));
        assert_eq!(rle.iou(&rle).unwrap(), 0.0);
        assert_eq!(
            Rle::from_compressed(&rle.to_compressed(), size).unwrap(),
            rle
        );
        assert_eq!(Rle::from_compressed("", size).unwrap(), rle);
    }
}

#[test]
fn json_is_cocos() {
    let rle = Rle::from_mask(&[false, true, true, false], [2, 2]).unwrap();
    let json = serde_json::to_string(&rle).unwrap();
    assert_eq!(json, r#"{"size":[2,2],"counts":"121"}"#);
    assert_eq!(serde_json::from_str::<Rle>(&json).unwrap(), rle);
    let list = r#"{"size":[2,2],"counts":[1,2,1]}"#;
    assert_eq!(serde_json::from_str::<Rle>(list).unwrap(), rle);
    assert!(serde_json::from_str::<Rle>(r#"{"size":[2,3],"counts":"121"}"#).is_err());
}

#[test]
fn wrong_strings_give_errors() {
    let read = Rle::from_compressed;
    assert_eq!(
        read("12 1", [2, 2]),
        Err(Error::Character {
            byte: b' ',
            offset: 2
        })
    );
    assert!(matches!(
        read("1é", [2, 2]),
        Err(Error::Character { offset: 1, .. })
    ));
    assert_eq!(read("12Q", [2, 2]), Err(Error::Truncated));
    assert_eq!(
        read("12", [2, 2]),
        Err(Error::Coverage {
            covered: 3,
            height: 2,
            width: 2
        })
    );
    assert_eq!(
        read("129", [2, 2]),
        Err(Error::Coverage {
            covered: 12,
            height: 2,
            width: 2
        })
    );
    assert_eq!(
        read("@", [2, 2]),
        Err(Error::RunLength {
            index: 0,
            length: -16
        })
    );
    assert!(matches!(
        read(&"o".repeat(100), [2, 2]),
        Err(Error::RunLength { index: 0, .. })
    ));
    assert!(matches!(
        read("oooooo7", [2, 2]),
        Err(Error::RunLength { index: 0, .. })
    ));
    let huge = [MAX_PIXELS, 2];
    assert_eq!(
        read("0", huge),
        Err(Error::TooLarge {
            height: huge[0],
            width: 2,
            limit: MAX_PIXELS
        })
    );
    assert!(matches!(
        read("0", [usize::MAX, usize::MAX]),
        Err(Error::TooLarge { .. })
    ));
    assert!(matches!(
        Rle::from_mask(&[true; 3], [2, 2]),
        Err(Error::PixelCount { pixels: 3, .. })
    ));
    assert!(matches!(
        Rle::merge([], Merge::Union),
        Err(Error::NothingToMerge)
    ));
    let (a, b) = (read("4", [2, 2]).unwrap(), read("4", [4, 1]).unwrap());
    assert!(matches!(a.iou(&b), Err(Error::SizeMismatch { .. })));
    assert!(matches!(
        Rle::merge([&a, &b], Merge::Union),
        Err(Error::SizeMismatch { .. })
    ));
}

#[test]
fn no_short_string_is_read_into_a_mask_that_does_not_fill_its_size() {
    let mut state = 7_u64;
    for _ in 0..200_000 {
        let mut next = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as usize
        };
        let length = next() % 8;
        let string: String = (0..length)
            .map(|_| char::from((0x2e + next() % 0x44) as u8))
            .collect();
        let size = [next() % 6, next() % 6];
        if let Ok(rle) = Rle::from_compressed(&string, size) {
            let pixels = rle.to_mask();
            assert_eq!(pixels.len(), size[0] * size[1]);
            assert_eq!(Rle::from_mask(&pixels, size).unwrap(), rle, "{string}");
        }
    }
}
