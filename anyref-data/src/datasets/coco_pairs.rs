//! Pairs of COCO's pictures: an instance in one refers to all instances of its category in another.
//!
//! By the authors' rules, an instance may stand for its category when it is the only one of it in
//! its picture, large in the picture, and fills its box.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::annotation_id::AnnotationId;
use super::coco::area;
use super::coco_file::{CocoAnnotation, CocoFile};
use super::dataset::{Dataset, entry, some};
use super::error::{Error, Result};
use super::item::{Grouping, Item, Reference, Region, Task};
use crate::scenes::mix;

/// Selection of pairs.
#[derive(Clone, Debug)]
pub struct PairOptions {
    /// Category ids; an empty set selects all.
    pub categories: BTreeSet<i64>,
    /// Smallest share of its picture that a target mask must cover, 0 to 1.
    pub min_area: f64,
    /// Share of its picture that the box of a referring instance must exceed.
    pub min_box: f64,
    /// Share of its box that the mask of a referring instance must exceed.
    pub min_fill: f64,
    /// Probability that the background of a referring instance is blacked out.
    pub mask_crop_probability: f64,
    /// Seed that, with an item's index and draw, selects the referring instance.
    pub seed: u64,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self {
            categories: BTreeSet::new(),
            min_area: 0.0,
            min_box: 0.1,
            min_fill: 0.4,
            mask_crop_probability: 0.0,
            seed: 0,
        }
    }
}

/// One question for each picture and each category in it that has an example in another picture.
#[derive(Debug)]
pub struct CocoPairs {
    name: String,
    images: PathBuf,
    file: Arc<CocoFile>,
    /// Picture, category and annotations of each item.
    entries: Vec<(i64, i64, Vec<AnnotationId>)>,
    /// Annotations that may stand for each category.
    examples: BTreeMap<i64, Vec<AnnotationId>>,
    options: PairOptions,
}

impl CocoPairs {
    /// Builds the pairs of an annotation file.
    ///
    /// # Errors
    /// When an annotation is damaged, or the options leave nothing.
    pub fn new(
        name: &str,
        images: &Path,
        file: Arc<CocoFile>,
        options: PairOptions,
    ) -> Result<Self> {
        if !(0.0..=1.0).contains(&options.mask_crop_probability) {
            let reason = "mask_crop_probability must lie in 0 to 1";
            return Err(Error::Options(reason.to_owned()));
        }
        let mut entries = Vec::new();
        let mut examples: BTreeMap<i64, Vec<AnnotationId>> = BTreeMap::new();
        for image in file.images().values() {
            let whole = area(image.size());
            for (category, things) in categories(&file, image.id, &options.categories) {
                if let [only] = things.as_slice() {
                    let [.., width, height] = only.bbox;
                    let pixels = only.pixels(image.size())?;
                    if width * height > options.min_box * whole
                        && pixels > options.min_fill * width * height
                    {
                        examples.entry(category).or_default().push(only.id);
                    }
                }
                if options.min_area > 0.0 {
                    let mut pixels = 0.0;
                    for thing in &things {
                        pixels += thing.pixels(image.size())?;
                    }
                    if pixels < options.min_area * whole {
                        continue;
                    }
                }
                entries.push((image.id, category, things.iter().map(|t| t.id).collect()));
            }
        }
        // A picture never refers to itself.
        entries.retain(|(image, category, _): &(i64, i64, Vec<AnnotationId>)| {
            let examples = examples.get(category).map_or(&[][..], Vec::as_slice);
            examples
                .iter()
                .any(|&id| file.annotation(id).is_ok_and(|a| a.image_id != *image))
        });
        some(name, &entries)?;
        Ok(Self {
            name: name.to_owned(),
            images: images.to_owned(),
            file,
            entries,
            examples,
            options,
        })
    }

    /// Annotations that may stand for each category.
    pub fn examples(&self) -> &BTreeMap<i64, Vec<AnnotationId>> {
        &self.examples
    }

    /// Example of `category` in a picture other than `image`; every item has at least one.
    fn example(&self, category: i64, image: i64, rng: &mut SmallRng) -> Result<&CocoAnnotation> {
        let examples = &self.examples[&category];
        let start = rng.random_range(0..examples.len());
        for step in 0..examples.len() {
            let example = self
                .file
                .annotation(examples[(start + step) % examples.len()])?;
            if example.image_id != image {
                return Ok(example);
            }
        }
        Err(Error::Nothing {
            dataset: self.name.clone(),
        })
    }
}

impl Dataset for CocoPairs {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn item(&self, index: usize, draw: u64) -> Result<Item> {
        let (image, category, things) = entry(&self.name, &self.entries, index)?;
        let seed = mix(mix(self.options.seed ^ mix(draw)) ^ index as u64);
        let mut rng = SmallRng::seed_from_u64(seed);
        let example = self.example(*category, *image, &mut rng)?;
        let masked = rng.random_bool(self.options.mask_crop_probability);

        let image = self.file.image(*image)?;
        let id = format!("{}/{category}", image.id);
        let path = self.images.join(&image.file_name);
        let mut item = Item::new(id, path, image.size(), Task::Image);
        let shown = self.file.image(example.image_id)?;
        item.references.push(Reference::Image {
            path: self.images.join(&shown.file_name),
            size: Some(shown.size()),
            region: Some(Region {
                area: example.corners(),
                mask: masked.then(|| example.shape()),
            }),
        });
        let annotations = things.iter().map(|&id| self.file.annotation(id));
        let shapes = annotations.map(|a| Ok(a?.shape())).collect::<Result<_>>()?;
        item.targets = Grouping::Merged.targets(self.file.category(*category), shapes);
        item.annotations = things.clone();
        item.category = Some(self.file.category(*category).to_owned());
        Ok(item)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let asked = self.entries.iter().map(|(image, ..)| *image);
        let examples = self.examples.values().flatten();
        let shown = examples.filter_map(|&id| Some(self.file.annotation(id).ok()?.image_id));
        asked
            .chain(shown)
            .filter_map(|id| self.file.image(id).ok())
            .map(|image| self.images.join(&image.file_name))
            .collect()
    }
}

/// Instances of each category in a picture, without crowds.
fn categories<'f>(
    file: &'f CocoFile,
    image: i64,
    wanted: &BTreeSet<i64>,
) -> BTreeMap<i64, Vec<&'f CocoAnnotation>> {
    let mut categories: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for annotation in file.of_image(image) {
        if annotation.iscrowd == 0
            && (wanted.is_empty() || wanted.contains(&annotation.category_id))
        {
            categories
                .entry(annotation.category_id)
                .or_default()
                .push(annotation);
        }
    }
    categories
}
