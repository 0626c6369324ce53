//! RefCLEF, RefCOCO and kin, gRefCOCO.

use std::fs;
use std::path::{Path, PathBuf};

use anyref_data::datasets::{Dataset, Error, check_files, missing_files};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{compare_all, copy, described, expected, folder, opened, refused};

/// RefCOCO or one of its kin, expressions to masks.
fn refer(root: &Path, name: &str, split_by: &str, split: &str) -> Value {
    json!({"refer": {"root": root, "name": name, "split_by": split_by, "split": split}})
}

/// gRefCOCO.
fn grefcoco(root: &Path, split: &str, grouping: &str) -> Value {
    json!({"grefcoco": {"root": root, "split": split, "grouping": grouping}})
}

#[test]
fn sentences_boxes_and_splits_are_refers() {
    let root = folder("refer");
    let cases = expected("refer");
    assert_eq!(cases.as_object().unwrap().len(), 19);
    for (name, case) in cases.as_object().unwrap() {
        let parts: Vec<&str> = name.split(' ').collect();
        let mut source = refer(&root, parts[0], parts[1], parts[2]);
        let segment = opened(source.clone()).unwrap();
        compare_all(&*segment, &case["segment"], &root);
        source["refer"]["describe"] = json!(true);
        compare_all(&*opened(source).unwrap(), &case["describe"], &root);
    }
}

#[test]
fn texts_survive_the_pickles() {
    let root = folder("refer");
    // Pickle protocols 0 and 2.
    for name in ["refcoco+", "refcoco"] {
        let mut texts = Vec::new();
        for split in ["train", "val", "testA", "testB"] {
            let refer = opened(refer(&root, name, "unc", split)).unwrap();
            let items = (0..refer.len()).map(|index| refer.item(index, 0).unwrap());
            texts.extend(items.map(|item| item.targets[0].phrase.clone()));
        }
        assert!(texts.contains(&"one \"in\" red".to_owned()), "{texts:?}");
        assert!(texts.contains(&"the man's dog".to_owned()), "{texts:?}");
        assert!(texts.contains(&"café sign".to_owned()), "{texts:?}");
    }
}

#[test]
fn pictures_may_be_elsewhere() {
    let mut source = refer(&folder("refer"), "refcoco", "unc", "val");
    source["refer"]["images"] = json!("/pictures");
    let refer = opened(source).unwrap();
    assert!(refer.item(0, 0).unwrap().image.starts_with("/pictures"));
}

/// Folder of COCO's pictures in REFER's layout.
const PICTURES: &str = "images/mscoco/images/train2014";

/// Name that COCO's release of 2017 gives a picture of 2014.
fn name_of_2017(path: &Path) -> &str {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.strip_prefix("COCO_train2014_").unwrap()
}

/// Copy of a data set with the pictures of COCO's release of 2017.
fn renamed(name: &str) -> TempDir {
    let scratch = tempfile::tempdir().unwrap();
    copy(&folder(name), scratch.path());
    let pictures = fs::read_dir(scratch.path().join(PICTURES)).unwrap();
    let pictures: Vec<PathBuf> = pictures.map(|entry| entry.unwrap().path()).collect();
    for path in pictures {
        fs::rename(&path, path.with_file_name(name_of_2017(&path))).unwrap();
    }
    scratch
}

/// Compares items before and after renaming their pictures, then removes a picture.
#[track_caller]
fn same_but_for_names(before: &dyn Dataset, after: &dyn Dataset, pictures: &Path) {
    check_files(after).unwrap();
    assert_eq!(before.len(), after.len());
    for index in 0..before.len() {
        let mut wanted = before.item(index, 0).unwrap();
        wanted.image = pictures.join(name_of_2017(&wanted.image));
        let item = after.item(index, 0).unwrap();
        assert_eq!(item, wanted);
        item.open_picture().unwrap();
    }
    // A picture that exists under neither name is listed under the annotations' name.
    fs::remove_file(pictures.join("000000000009.jpg")).unwrap();
    let named = pictures.join("COCO_train2014_000000000009.jpg");
    assert_eq!(missing_files(after), [named]);
}

#[test]
fn pictures_may_have_the_names_of_the_later_release() {
    let scratch = renamed("refer");
    let before = opened(refer(&folder("refer"), "refcoco", "unc", "train")).unwrap();
    // Pictures in COCO's own folder, as a configuration names it.
    let pictures = scratch.path().join("train2017");
    fs::rename(scratch.path().join(PICTURES), &pictures).unwrap();
    let mut source = refer(scratch.path(), "refcoco", "unc", "train");
    source["refer"]["images"] = json!(pictures);
    let after = opened(source).unwrap();
    same_but_for_names(&*before, &*after, &pictures);

    let scratch = renamed("grefcoco");
    let open = |root: &Path| opened(grefcoco(root, "train", "merged")).unwrap();
    let (before, after) = (open(&folder("grefcoco")), open(scratch.path()));
    same_but_for_names(&*before, &*after, &scratch.path().join(PICTURES));
}

#[test]
fn splits_and_files_that_are_not_there_are_named() {
    let root = folder("refer");
    let open = |name, by, split| refused(refer(&root, name, by, split)).to_string();
    let line = open("refcocog", "google", "test");
    assert!(
        line.contains("`test`") && line.contains("train, val"),
        "{line}"
    );
    let line = open("refcoco", "umd", "train");
    assert!(line.contains("refs(umd).p"), "{line}");

    // A pickle that would run a command.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("refcoco")).unwrap();
    let path = folder.path().join("refcoco/refs(unc).p");
    std::fs::write(&path, b"cos\nsystem\n(S'true'\ntR.").unwrap();
    let line = refused(refer(folder.path(), "refcoco", "unc", "train")).to_string();
    assert!(
        line.contains("os.system") && line.contains("nothing was run"),
        "{line}"
    );
}

#[test]
fn annotations_that_contradict_one_another_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir(root.join("refcoco")).unwrap();
    // [{'ref_id': 1, 'ann_id': 5, 'image_id': 2, 'split': 'val', 'sentences': []}]
    let pickle =
        b"(lp0\n(dp1\nS'ref_id'\nI1\nsS'ann_id'\nI5\nsS'image_id'\nI2\nsS'split'\nS'val'\n\
        sS'sentences'\n(lsa.";
    std::fs::write(root.join("refcoco/refs(unc).p"), pickle).unwrap();
    let write = |document: Value| {
        std::fs::write(root.join("refcoco/instances.json"), document.to_string()).unwrap();
        refused(refer(root, "refcoco", "unc", "val")).to_string()
    };
    let image = json!([{"id": 2, "file_name": "2.jpg", "width": 4, "height": 4}]);
    let category = json!([{"id": 1, "name": "dog"}]);
    let annotation = |id, image, category| json!([{"id": id, "image_id": image, "category_id": category, "segmentation": [[0, 0, 1, 1, 2, 0]]}]);
    for (annotations, said) in [
        (annotation(4, 2, 1), "annotation 5 is not listed"),
        (annotation(5, 3, 1), "picture 3"),
        (annotation(5, 2, 9), "category 9"),
    ] {
        let line =
            write(json!({"images": image, "annotations": annotations, "categories": category}));
        assert!(
            line.contains(said) && line.contains("instances.json"),
            "{line}"
        );
    }
    // A damaged mask is an error of its item, not of the whole data set.
    let line = write(json!({"images": image, "annotations": [{"id": 5}], "categories": category}));
    assert!(
        line.contains("instances.json") && !line.contains('\n'),
        "{line}"
    );
}

#[test]
fn several_targets_and_none() {
    let root = folder("grefcoco");
    for (split, items) in expected("grefcoco").as_object().unwrap() {
        let merged = opened(grefcoco(&root, split, "merged")).unwrap();
        compare_all(&*merged, items, &root);
        let each = opened(grefcoco(&root, split, "each")).unwrap();
        for (index, item) in items.as_array().unwrap().iter().enumerate() {
            let found = described(&each.item(index, 0).unwrap(), &root);
            let masks = found["targets"]
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t[1].clone());
            assert_eq!(masks.collect::<Vec<_>>(), *item["each"].as_array().unwrap());
        }
    }
    let error = refused(grefcoco(&root, "testC", "merged"));
    assert!(matches!(error, Error::Split { .. }));
}
