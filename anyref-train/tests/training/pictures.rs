//! Validation pictures of a run.

use anyref_train::run::draw_validation;
use anyref_train::run::launch;

use crate::support::{TrainBackend, alone, folders, stage, train_config};

#[test]
fn a_run_is_drawn_as_pairs() {
    let _turn = alone();
    let device = Default::default();
    let folder = tempfile::tempdir().unwrap();
    let run = folders(folder.path());
    let out = folder.path().join("validation.png");
    let config = train_config(vec![stage("sam", 1, 1), stage("instruct", 1, 2)]);
    let draw = || draw_validation::<TrainBackend>(&config, &run, 4, &out, &device);
    assert!(draw().unwrap_err().to_string().contains("no checkpoint"));
    let go = |steps| launch::<TrainBackend>(&config, &run, steps, &device).unwrap();
    assert!(!go(Some(1)));
    assert!(draw().unwrap_err().to_string().contains("instructions yet"));
    assert!(go(None));
    assert_eq!(draw().unwrap(), 4);
    // Pairs of 64 + 4 + 64 pixels with 4 between them, three a row.
    let sheet = image::open(&out).unwrap().to_rgb8();
    assert_eq!((sheet.width(), sheet.height()), (3 * 136, 2 * 68));
    // The left picture has green on it that the right one lacks, at least outside of the predicted
    // mask.
    let greener = (0..64)
        .flat_map(|y| (0..64).map(move |x| (x, y)))
        .filter(|&(x, y)| {
            let (left, right) = (sheet.get_pixel(x, y).0, sheet.get_pixel(x + 68, y).0);
            left[1] > right[1] && left[0] <= right[0].max(130)
        });
    assert!(greener.count() > 20);
}
