//! COCO-Stuff: COCO's pictures with every pixel labelled as one of 182 classes.
//!
//! ```text
//! ROOT/labels.txt                           names, counted from 1
//! ROOT/train2017/                           label maps, counted from 0, 255 where unlabelled
//! COCO/train2017/                           pictures
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{Error, Result};
use super::files;
use super::label_pairs::LabelPairs;

/// Opens one question a picture of `train2017` or `val2017`, about a class in it. `coco` is the
/// folder that holds the folder of pictures. Compound classes such as `window-blind` are left out
/// unless `compounds`. `min_area` is the smallest share of the picture that a class must cover, 0
/// to 1.
///
/// # Errors
/// When the folders or names cannot be read.
pub(super) fn open(
    root: &Path,
    split: &str,
    coco: &Path,
    compounds: bool,
    min_area: f64,
) -> Result<LabelPairs> {
    let mut names = names(&root.join("labels.txt"))?;
    names.retain(|_, name| compounds || !name.contains('-'));
    let images = coco.join(split);
    let labels = files::listed(&root.join(split), "png")?;
    let pairs = labels.into_iter().map(|labels| {
        let name = Path::new(labels.file_name().unwrap_or_default()).with_extension("jpg");
        (images.join(name), labels)
    });
    let pairs = LabelPairs::new(format!("COCO-Stuff {split}"), pairs.collect(), names)?;
    Ok(pairs.with_min_area(min_area))
}

/// Reads lines `number: name`; label maps hold each number less one.
fn names(path: &Path) -> Result<BTreeMap<u32, String>> {
    let text = files::text(path)?;
    let mut names = BTreeMap::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
    {
        let parts = line.split_once(':');
        let Some((Ok(number), name)) = parts.map(|(n, name)| (n.trim().parse::<u32>(), name))
        else {
            return Err(Error::Line {
                path: path.to_owned(),
                line: index + 1,
                reason: "not of the form `number: name`; download it again".to_owned(),
            });
        };
        // Number 0 marks unlabelled pixels.
        if let Some(value) = number.checked_sub(1) {
            names.insert(value, name.trim().to_owned());
        }
    }
    Ok(names)
}
