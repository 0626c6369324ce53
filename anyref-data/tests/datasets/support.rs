//! Fixtures, and items in the form of the expected values.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyref_data::datasets::{Dataset, Item, Reference, Result, Shape, Source, Task};
use anyref_data::scenes::Mask;
use anyref_decoder::rle::Rle;
use serde_json::{Map, Value, json};

/// Folder of a data set.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/datasets")
        .join(name)
}

/// Opens a data set as a configuration names it.
pub fn opened(source: Value) -> Result<Arc<dyn Dataset>> {
    let source: Source = serde_json::from_value(source).unwrap();
    source.open(0)
}

/// Error of a data set that cannot be opened.
#[track_caller]
pub fn refused(source: Value) -> anyref_data::datasets::Error {
    opened(source).err().expect("it is opened")
}

/// Copies a folder recursively.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

/// Reads a JSON file of a fixture.
pub fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Expected items of a reader.
pub fn expected(name: &str) -> Value {
    json_file(&folder(name).join("expected.json"))
}

/// COCO's compressed string of a mask.
pub fn counts(mask: &Mask) -> String {
    let bytes = mask.to_bytes();
    let pixels: Vec<bool> = bytes.iter().map(|&byte| byte != 0).collect();
    let size = [mask.height(), mask.width()];
    Rle::from_mask(&pixels, size).unwrap().to_compressed()
}

/// COCO's compressed string of a shape.
pub fn shape(shape: &Shape, size: [u32; 2]) -> String {
    counts(&shape.rasterise(size).unwrap())
}

/// Item in the form of the expected values.
pub fn described(item: &Item, root: &Path) -> Value {
    let relative = |path: &Path| {
        let path = path.strip_prefix(root).unwrap();
        path.to_str().unwrap().replace('\\', "/")
    };
    let references = item.references.iter().map(|reference| match reference {
        Reference::Text(text) => json!({ "text": text }),
        Reference::Box(area) => json!({ "box": area }),
        Reference::Audio(path) => json!({ "audio": relative(path) }),
        Reference::Image { path, size, region } => {
            let mut value = json!({ "image": relative(path), "size": size });
            if let Some(region) = region {
                value["area"] = json!(region.area);
                if let Some(mask) = &region.mask {
                    value["mask"] = json!(shape(mask, size.unwrap()));
                }
            }
            value
        }
    });
    let masks = item.masks().unwrap();
    let targets = item.targets.iter().zip(&masks);
    json!({
        "id": item.id,
        "image": relative(&item.image),
        "size": item.size,
        "task": item.task,
        "references": references.collect::<Vec<_>>(),
        "targets": targets.map(|(t, mask)| json!([t.phrase, counts(mask)])).collect::<Vec<_>>(),
        "expressions": item.expressions,
        "annotations": item.annotations,
        "question": item.question,
        "answer": item.answer,
    })
}

/// Compares an item with its expected values; fields without one must be empty.
#[track_caller]
pub fn compare(item: &Item, expected: &Value, root: &Path) {
    let found = described(item, root);
    for (key, value) in found.as_object().unwrap() {
        let nothing = match value {
            Value::Array(_) => json!([]),
            _ => Value::Null,
        };
        let wanted = expected.get(key).unwrap_or(&nothing);
        assert!(
            same(value, wanted),
            "{} {key}: {value} instead of {wanted}",
            item.id
        );
    }
}

/// Compares all items of a data set.
#[track_caller]
pub fn compare_all(dataset: &dyn Dataset, expected: &Value, root: &Path) {
    let expected = expected.as_array().unwrap();
    assert_eq!(dataset.len(), expected.len(), "{}", dataset.name());
    for (index, expected) in expected.iter().enumerate() {
        let item = dataset.item(index, 0).unwrap();
        compare(&item, expected, root);
        assert_eq!(dataset.subject(index).unwrap().image, item.image);
        assert!(
            item.files()
                .iter()
                .all(|path| dataset.files().contains(path)),
            "{index}"
        );
    }
    assert!(dataset.item(expected.len(), 0).is_err());
    assert!(dataset.subject(expected.len()).is_err());
}

/// Returns whether two values are equal, up to the form of numbers and 1e-9 in coordinates.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-9
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let equal = |a: &Map<_, _>, b: &Map<_, _>| {
                a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
            };
            equal(a, b) && a.len() == b.len()
        }
        _ => left == right,
    }
}

/// Item of no data set.
pub fn item(task: Task, references: Vec<Reference>) -> Item {
    Item {
        id: String::new(),
        image: PathBuf::from("a.png"),
        size: [4, 4],
        task,
        references,
        targets: Vec::new(),
        expressions: Vec::new(),
        annotations: Vec::new(),
        ignore: None,
        category: None,
        video: None,
        question: None,
        answer: None,
    }
}
