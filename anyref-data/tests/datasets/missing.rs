//! Missing files, listed at once.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyref_data::datasets::{
    Coco, CocoOptions, Dataset, Error, Mixture, check_files, missing_files,
};
use serde_json::json;

use crate::support::{copy, folder, opened};

/// S4 of AVSBench.
fn s4(root: &Path, split: &str) -> Arc<dyn Dataset> {
    opened(json!({"avs_s4": {"root": root, "split": split}})).unwrap()
}

#[test]
fn all_of_them_are_listed_before_the_first_is_opened() {
    let scratch = tempfile::tempdir().unwrap();
    copy(&folder("coco"), scratch.path());
    let coco = Coco::open(scratch.path(), "tiny2017", &CocoOptions::default()).unwrap();
    check_files(&coco).unwrap();
    assert_eq!(coco.files().len(), 4);
    let lost = [9, 30].map(|id| scratch.path().join(format!("tiny2017/{id:012}.jpg")));
    for path in &lost {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(missing_files(&coco), lost);
    let error = check_files(&coco).unwrap_err();
    assert!(matches!(&error, Error::Missing { files, .. } if *files == lost));
    let line = error.to_string();
    assert!(
        line.contains("2 files are missing") && line.contains("000000000030.jpg"),
        "{line}"
    );
    assert!(!line.contains('\n') && !line.contains(" more;"), "{line}");
}

#[test]
fn all_data_sets_of_a_mixture_are_looked_through() {
    let scratch = tempfile::tempdir().unwrap();
    copy(&folder("coco"), scratch.path());
    copy(&folder("avsbench/Single-source"), scratch.path());
    let open = || -> Vec<Arc<dyn Dataset>> {
        let coco = Coco::open(scratch.path(), "tiny2017", &CocoOptions::default());
        vec![Arc::new(coco.unwrap()), s4(scratch.path(), "val")]
    };
    let mixture = Mixture::proportional(open(), 1).unwrap();
    mixture.check_files().unwrap();
    fs::remove_file(scratch.path().join("tiny2017/000000000030.jpg")).unwrap();
    fs::remove_file(
        scratch
            .path()
            .join("s4_data/audio_wav/val/playing_piano/v2.wav"),
    )
    .unwrap();
    let error = mixture.check_files().unwrap_err();
    assert!(matches!(&error, Error::SeveralMissing(of) if of.len() == 2));
    let line = error.to_string();
    assert!(
        line.contains("000000000030.jpg") && line.contains("v2.wav") && !line.contains('\n'),
        "{line}"
    );
}

#[test]
fn sounds_and_masks_count_as_well() {
    let scratch = tempfile::tempdir().unwrap();
    copy(&folder("avsbench/Single-source"), scratch.path());
    let data = scratch.path().join("s4_data");
    fs::remove_file(data.join("audio_wav/val/playing_piano/v2.wav")).unwrap();
    fs::remove_dir_all(data.join("gt_masks/val/playing_piano/v2")).unwrap();
    let validation = s4(scratch.path(), "val");
    assert_eq!(missing_files(&*validation).len(), 6);
    // The message names a few files and the total number.
    let line = check_files(&*validation).unwrap_err().to_string();
    assert!(
        line.contains("6 files") && line.contains(" and 1 more;"),
        "{line}"
    );
    assert_eq!(line.matches("s4_data").count(), 5, "{line}");
    // Training does not need the removed files.
    check_files(&*s4(scratch.path(), "train")).unwrap();
}
