//! ADE20K as released for the 2016 challenges: 150 classes, or 100 kinds of instances.
//!
//! ```text
//! ROOT/objectInfo150.txt                    names of the classes
//! ROOT/instanceInfo100_train.txt            names of the kinds of instances
//! ROOT/images/training/                     pictures; also validation
//! ROOT/annotations/training/                classes
//! ROOT/annotations_instance/training/       instances
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::files;
use super::item::Grouping;
use super::label_pairs::LabelPairs;

/// Opens one question a picture of `training` or `validation`, about a class in it. `min_area` is
/// the smallest share of the picture that a class must cover, 0 to 1.
///
/// # Errors
/// When the folders or names cannot be read.
pub(super) fn semantic(root: &Path, split: &str, min_area: f64) -> Result<LabelPairs> {
    let names = names(&root.join("objectInfo150.txt"), "Name")?;
    let pairs = pairs(root, split, "annotations")?;
    let pairs = LabelPairs::new(format!("ADE20K {split}"), pairs, names)?;
    Ok(pairs.with_min_area(min_area))
}

/// Opens one question a picture of `training` or `validation`, about a kind of instances in it.
/// `min_area` is the smallest share of the picture that each instance must cover, 0 to 1.
///
/// # Errors
/// When the folders or names cannot be read.
pub(super) fn instances(
    root: &Path,
    split: &str,
    grouping: Grouping,
    min_area: f64,
) -> Result<LabelPairs> {
    let names = names(&root.join("instanceInfo100_train.txt"), "Object Names")?;
    let pairs = pairs(root, split, "annotations_instance")?;
    let pairs = LabelPairs::new(format!("ADE20K instances {split}"), pairs, names)?;
    Ok(pairs.with_instances(grouping).with_min_area(min_area))
}

/// Pictures of a split with their label maps.
fn pairs(root: &Path, split: &str, kind: &str) -> Result<Vec<(PathBuf, PathBuf)>> {
    let labels = root.join(kind).join(split);
    let images = files::listed(&root.join("images").join(split), "jpg")?;
    let pairs = images.into_iter().map(|image| {
        let name = Path::new(image.file_name().unwrap_or_default()).with_extension("png");
        let labels = labels.join(name);
        (image, labels)
    });
    Ok(pairs.collect())
}

/// First name of each number in a table whose columns are separated by tabs.
fn names(path: &Path, column: &str) -> Result<BTreeMap<u32, String>> {
    let text = files::text(path)?;
    let mut lines = text.lines().enumerate();
    let header = lines.next().map_or("", |(_, header)| header);
    let mut columns = header.split('\t').map(str::trim);
    let column = columns
        .position(|name| name == column)
        .ok_or_else(|| Error::format(path, format!("no column `{column}`")))?;
    let mut names = BTreeMap::new();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let number = fields[0].parse().ok();
        let name = fields.get(column).and_then(|names| names.split(',').next());
        let (Some(number), Some(name)) = (number, name) else {
            return Err(Error::Line {
                path: path.to_owned(),
                line: index + 1,
                reason: "no number and name; download it again".to_owned(),
            });
        };
        names.insert(number, name.trim().to_owned());
    }
    Ok(names)
}
