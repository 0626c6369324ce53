//! PASCAL-5i: four folds of five of PASCAL VOC's classes, segmented by the example of a picture.
//!
//! ```text
//! ROOT/VOCdevkit/VOC2012/JPEGImages/            pictures
//! ROOT/VOCdevkit/VOC2012/SegmentationClassAug/  label maps, with those of SBD; 255 is the border
//! ROOT/splits/pascal/val/fold0.txt              2007_000033__01: a picture and a class in it
//! ROOT/splits/pascal/trn/fold0.txt
//! ```
//!
//! The lists are HSNet's `data/splits`; `VOC2012` may also lie in `ROOT` itself. As in HSNet, a
//! fold is tested in a thousand episodes, which repeat its list as often as needed; each has
//! another example of the class, drawn from the pictures of the list. Border pixels do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::{Rng, seq::IndexedRandom};

use super::coco_20i::{FOLDS, FoldPart};
use super::dataset::{Dataset, entry, some};
use super::error::{Error, Result};
use super::files::{picture_size, text};
use super::item::{Grouping, Item, Reference, Region, Subject, Task};
use super::label_map::{LabelMap, Which};
use super::shape::{Pixels, Shape};
use crate::scenes::mix;

/// Episodes in the test of a fold.
pub const EPISODES: usize = 1000;
/// Classes of a fold.
const CLASSES: usize = 5;
/// Label of border pixels.
const BORDER: u32 = 255;

/// PASCAL VOC's classes in the order of their numbers.
const NAMES: [&str; 20] = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
];

/// Selection of episodes.
#[derive(Clone, Copy, Debug)]
pub struct EpisodeOptions {
    /// Fold, from 0.
    pub fold: usize,
    /// Side of the fold: its own classes, or all others.
    pub part: FoldPart,
    /// Probability that the background of an example is blacked out.
    pub mask_crop_probability: f64,
    /// Seed that, with an item's index and draw, selects the example.
    pub seed: u64,
}

/// One question for each episode.
#[derive(Debug)]
pub struct Pascal5i {
    name: String,
    pictures: PathBuf,
    labels: PathBuf,
    /// Picture and class number, from 1, of each line of the lists.
    entries: Vec<(String, u32)>,
    /// Pictures of each class.
    examples: BTreeMap<u32, Vec<String>>,
    len: usize,
    options: EpisodeOptions,
}

impl Pascal5i {
    /// Opens a fold.
    ///
    /// # Errors
    /// When there is no such fold, or its lists cannot be read.
    pub fn open(root: &Path, options: EpisodeOptions) -> Result<Self> {
        let EpisodeOptions { fold, part, .. } = options;
        if fold >= FOLDS {
            let reason = format!("PASCAL-5i has the folds 0 to {}, not {fold}", FOLDS - 1);
            return Err(Error::Options(reason));
        }
        if !(0.0..=1.0).contains(&options.mask_crop_probability) {
            let reason = "mask_crop_probability must lie in 0 to 1";
            return Err(Error::Options(reason.to_owned()));
        }
        let mut entries = Vec::new();
        match part {
            FoldPart::Test => entries.extend(list(root, "val", fold)?),
            FoldPart::Train => {
                for other in (0..FOLDS).filter(|other| *other != fold) {
                    entries.extend(list(root, "trn", other)?);
                }
            }
        }
        let mut examples = BTreeMap::<u32, Vec<String>>::new();
        for (picture, class) in &entries {
            examples.entry(*class).or_default().push(picture.clone());
        }
        // A picture is never its own example.
        entries.retain(|(picture, class)| examples[class].iter().any(|other| other != picture));
        let name = format!("PASCAL-5i fold {fold}");
        some(&name, &entries)?;
        let voc = match root.join("VOCdevkit/VOC2012") {
            kit if kit.is_dir() || !root.join("VOC2012").is_dir() => kit,
            _ => root.join("VOC2012"),
        };
        Ok(Self {
            name,
            pictures: voc.join("JPEGImages"),
            labels: voc.join("SegmentationClassAug"),
            len: match part {
                FoldPart::Test => EPISODES,
                FoldPart::Train => entries.len(),
            },
            entries,
            examples,
            options,
        })
    }

    fn picture(&self, name: &str) -> PathBuf {
        self.pictures.join(format!("{name}.jpg"))
    }

    fn labels(&self, name: &str) -> PathBuf {
        self.labels.join(format!("{name}.png"))
    }

    fn shape(&self, name: &str, label: u32) -> Shape {
        Shape::Pixels(Pixels {
            path: self.labels(name),
            which: Which::Label(label),
        })
    }

    /// Line of an episode; the lists are repeated.
    fn line(&self, index: usize) -> Result<&(String, u32)> {
        if index >= self.len {
            return Err(Error::Index {
                dataset: self.name.clone(),
                index,
                len: self.len,
            });
        }
        entry(&self.name, &self.entries, index % self.entries.len())
    }

    /// Reference to a picture of a class, by the box around all pixels of the class.
    fn example(&self, name: &str, class: u32, masked: bool) -> Result<Reference> {
        let labels = self.labels(name);
        let mask = LabelMap::open(&labels)?.mask(Which::Label(class));
        let area = mask.bounds().ok_or_else(|| {
            let class = NAMES[class as usize - 1];
            Error::picture(&labels, format!("no pixel of the class {class}"))
        })?;
        let path = self.picture(name);
        Ok(Reference::Image {
            size: Some(picture_size(&path)?),
            path,
            region: Some(Region {
                area: area.map(f64::from),
                mask: masked.then(|| self.shape(name, class)),
            }),
        })
    }
}

impl Dataset for Pascal5i {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.len
    }

    fn item(&self, index: usize, draw: u64) -> Result<Item> {
        let (name, class) = self.line(index)?;
        let seed = mix(mix(self.options.seed ^ mix(draw)) ^ index as u64);
        let mut rng = SmallRng::seed_from_u64(seed);
        let others = self.examples[class].iter().filter(|other| *other != name);
        let others: Vec<&String> = others.collect();
        let Some(example) = others.choose(&mut rng) else {
            return Err(Error::Nothing {
                dataset: self.name.clone(),
            });
        };
        let masked = rng.random_bool(self.options.mask_crop_probability);

        let id = format!("{index}/{name}/{class}");
        let path = self.picture(name);
        let size = picture_size(&path)?;
        let mut item = Item::new(&id, path, size, Task::Image);
        let example = self.example(example, *class, masked);
        let example = example.map_err(|error| error.of_item(&self.name, &id))?;
        item.references.push(example);
        let phrase = NAMES[*class as usize - 1];
        item.targets = Grouping::Merged.targets(phrase, vec![self.shape(name, *class)]);
        item.ignore = Some(self.shape(name, BORDER));
        item.category = Some(phrase.to_owned());
        Ok(item)
    }

    fn subject(&self, index: usize) -> Result<Subject> {
        let (name, _) = self.line(index)?;
        Ok(Subject {
            image: self.picture(name),
            thing: index,
        })
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let names = self.entries.iter().map(|(name, _)| name);
        names
            .chain(self.examples.values().flatten())
            .flat_map(|name| [self.picture(name), self.labels(name)])
            .collect()
    }
}

/// Pictures and classes of a fold in a split, `val` or `trn`.
fn list(root: &Path, split: &str, fold: usize) -> Result<Vec<(String, u32)>> {
    let name = format!("splits/pascal/{split}/fold{fold}.txt");
    // The lists lie beside the pictures, or in a copy of HSNet's repository.
    let usual = root.join(&name);
    let copied = root.join("data").join(&name);
    let path = if copied.is_file() && !usual.is_file() {
        copied
    } else {
        usual
    };
    if !path.is_file() {
        return Err(Error::Options(format!(
            "{}: no such file; copy the folder data/splits of HSNet's repository to {}",
            path.display(),
            root.join("splits").display()
        )));
    }
    let classes = fold * CLASSES + 1..=(fold + 1) * CLASSES;
    let read = |(index, line): (usize, &str)| {
        let parts = line.trim().split_once("__");
        let parts = parts.and_then(|(name, class)| Some((name, class.parse::<u32>().ok()?)));
        match parts {
            Some((name, class)) if classes.contains(&(class as usize)) && !name.is_empty() => {
                Ok((name.to_owned(), class))
            }
            _ => Err(Error::Line {
                path: path.clone(),
                line: index + 1,
                reason: format!(
                    "{line:?} is no picture with a class of {} to {}, as 2007_000033__{:02}",
                    classes.start(),
                    classes.end(),
                    classes.start()
                ),
            }),
        }
    };
    let lines = text(&path)?;
    let lines = lines.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(read)
        .collect()
}
