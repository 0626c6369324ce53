//! COCO-Stuff: every pixel of COCO's pictures is of one of 182 classes.
//!
//! ```text
//! ROOT/labels.txt                           names, counted from 1
//! ROOT/train2017/                           label maps, counted from 0, 255 where unlabelled
//! COCO/train2017/                           pictures
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::dataset::Dataset;
use super::error::{Error, Result};
use super::files;
use super::item::{Item, Subject};
use super::label_pairs::LabelPairs;

/// A question for each picture, about a class in it.
#[derive(Debug)]
pub(crate) struct CocoStuff(LabelPairs);

impl CocoStuff {
    /// Opens `train2017` or `val2017`; `coco` is the folder with the pictures' folder. Classes such
    /// as `window-blind`, whose names are no words, are left out unless `compounds`. `min_area` is
    /// the smallest share of the picture that a class must cover, 0 to 1.
    ///
    /// # Errors
    /// When the folders or names cannot be read.
    pub(crate) fn open(
        root: &Path,
        split: &str,
        coco: &Path,
        compounds: bool,
        min_area: f64,
    ) -> Result<Self> {
        let mut names = names(&root.join("labels.txt"))?;
        names.retain(|_, name| compounds || !name.contains('-'));
        let images = coco.join(split);
        let labels = files::listed(&root.join(split), "png")?;
        let pairs = labels.into_iter().map(|labels| {
            let name = Path::new(labels.file_name().unwrap_or_default()).with_extension("jpg");
            (images.join(name), labels)
        });
        let pairs = LabelPairs::new(format!("COCO-Stuff {split}"), pairs.collect(), names)?;
        Ok(Self(pairs.with_min_area(min_area)))
    }
}

/// Lines `number: name`; a map has each number less one.
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
        // 0 is what has no label.
        if let Some(value) = number.checked_sub(1) {
            names.insert(value, name.trim().to_owned());
        }
    }
    Ok(names)
}

impl Dataset for CocoStuff {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn item(&self, index: usize, draw: u64) -> Result<Item> {
        self.0.item(index, draw)
    }

    fn subject(&self, index: usize) -> Result<Subject> {
        self.0.subject(index)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.0.files()
    }
}
