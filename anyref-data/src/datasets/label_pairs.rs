//! Pictures with one label map each: a class is drawn, and all of its pixels are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::dataset::{Dataset, entry, some};
use super::error::{Error, Result};
use super::item::{Grouping, Item, Reference, Subject, Task};
use super::label_map::{LabelMap, Which};
use super::shape::{Pixels, Shape};
use crate::scenes::mix;

/// Meaning of a label map's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// First channel holds the class.
    Class,
    /// First channel holds the class, the second the instance.
    Instances,
}

/// One question for each picture, about one of its classes.
#[derive(Debug)]
pub(super) struct LabelPairs {
    name: String,
    /// Paths of pictures and label maps.
    entries: Vec<(PathBuf, PathBuf)>,
    /// Class names by value.
    classes: BTreeMap<u32, String>,
    coding: Coding,
    grouping: Grouping,
    min_area: f64,
}

/// Pixel counts by class and instance; the instance is 0 where the map has none.
type Classes = BTreeMap<u32, BTreeMap<u8, usize>>;

impl LabelPairs {
    pub(super) fn new(
        name: String,
        entries: Vec<(PathBuf, PathBuf)>,
        classes: BTreeMap<u32, String>,
    ) -> Result<Self> {
        some(&name, &entries)?;
        Ok(Self {
            name,
            entries,
            classes,
            coding: Coding::Class,
            grouping: Grouping::Merged,
            min_area: 0.0,
        })
    }

    pub(super) fn with_instances(self, grouping: Grouping) -> Self {
        Self {
            coding: Coding::Instances,
            grouping,
            ..self
        }
    }

    pub(super) fn with_min_area(self, min_area: f64) -> Self {
        Self { min_area, ..self }
    }

    /// Named classes of a map, with the instances that are large enough.
    fn classes(&self, map: &LabelMap) -> Classes {
        let mut classes = Classes::new();
        match self.coding {
            Coding::Class => {
                for (class, count) in map.counts(0) {
                    classes.insert(class, [(0, count)].into());
                }
            }
            Coding::Instances => {
                for pixel in map.pixels() {
                    let (class, instance) = (u32::from(pixel[0]), pixel[1] as u8);
                    if instance != 0 {
                        let instances = classes.entry(class).or_default();
                        *instances.entry(instance).or_default() += 1;
                    }
                }
            }
        }
        let [width, height] = map.size().map(f64::from);
        let least = self.min_area * width * height;
        classes.retain(|class, instances| {
            instances.retain(|_, count| *count as f64 >= least);
            self.classes.contains_key(class) && !instances.is_empty()
        });
        classes
    }

    fn read(&self, path: &Path) -> Result<LabelMap> {
        let map = LabelMap::open(path)?;
        match (self.coding, map.channels()) {
            (Coding::Instances, 1 | 2) => Err(Error::picture(
                path,
                "no colours, which tell class and instance",
            )),
            _ => Ok(map),
        }
    }
}

impl Dataset for LabelPairs {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    /// Draws a class of the picture; a picture without any is replaced by the next that has one.
    fn item(&self, index: usize, draw: u64) -> Result<Item> {
        entry(&self.name, &self.entries, index)?;
        for step in 0..self.entries.len() {
            let (image, labels) = &self.entries[(index + step) % self.entries.len()];
            let map = self.read(labels)?;
            let classes: Vec<_> = self.classes(&map).into_iter().collect();
            let mut rng = SmallRng::seed_from_u64(mix(index as u64 ^ mix(draw)));
            let Some((class, instances)) = classes.choose(&mut rng) else {
                continue;
            };
            let stem = image.file_stem().unwrap_or_default().to_string_lossy();
            let id = format!("{stem}/{class}");
            let mut item = Item::new(id, image.clone(), map.size(), Task::Semantic);
            let phrase = &self.classes[class];
            item.references.push(Reference::Text(phrase.clone()));
            let which = |&instance: &u8| match self.coding {
                Coding::Class => Which::Label(*class),
                Coding::Instances => Which::Channel(1, instance),
            };
            let shapes = instances.keys().map(|instance| {
                Shape::Pixels(Pixels {
                    path: labels.clone(),
                    which: which(instance),
                })
            });
            item.targets = self.grouping.targets(phrase, shapes.collect());
            return Ok(item);
        }
        Err(Error::Nothing {
            dataset: self.name.clone(),
        })
    }

    fn subject(&self, index: usize) -> Result<Subject> {
        let (image, _) = entry(&self.name, &self.entries, index)?;
        Ok(Subject {
            image: image.clone(),
            thing: index,
        })
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let files = self
            .entries
            .iter()
            .flat_map(|(image, labels)| [image, labels]);
        files.cloned().collect()
    }
}
