//! Names of data sets in training configurations.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ade20k;
use super::avsbench::AvsBench;
use super::coco::{Coco, CocoOptions, annotations_path};
use super::coco_20i::{FoldPart, open_fold};
use super::coco_file::CocoFile;
use super::coco_pairs::{CocoPairs, PairOptions};
use super::coco_stuff;
use super::dataset::Dataset;
use super::error::Result;
use super::grefcoco::GRefCoco;
use super::item::Grouping;
use super::jsonl::Jsonl;
use super::paco;
use super::pascal_5i::{EpisodeOptions, Pascal5i};
use super::pascal_part;
use super::per_picture::PerPicture;
use super::phrase_cut::PhraseCut;
use super::reason_seg::ReasonSeg;
use super::refer::{Direction, Refer, ReferOptions};
use super::visual_genome::VisualGenome;

/// Data set and its location. Paths are relative to the program's working directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// RefCLEF, RefCOCO, RefCOCO+ and RefCOCOg.
    Refer {
        /// REFER's data folder.
        root: PathBuf,
        /// `refclef`, `refcoco`, `refcoco+` or `refcocog`.
        name: String,
        /// Author of the split: `unc`, `umd`, `google` or `berkeley`.
        split_by: String,
        /// Split, such as `train` or `val`.
        split: String,
        /// Whether boxes are described instead of expressions segmented.
        #[serde(default)]
        describe: bool,
        /// Folder of the pictures, such as COCO's `train2017`, when it is not in REFER's layout.
        #[serde(default)]
        images: Option<PathBuf>,
    },
    /// gRefCOCO.
    Grefcoco {
        /// REFER's data folder.
        root: PathBuf,
        /// Split, such as `train` or `val`.
        split: String,
        /// Grouping of several instances.
        #[serde(default)]
        grouping: Grouping,
        /// Folder of the pictures, such as COCO's `train2017`, when it is not in REFER's layout.
        #[serde(default)]
        images: Option<PathBuf>,
    },
    /// COCO's instances by the name of their category.
    Coco {
        /// COCO's folder.
        root: PathBuf,
        /// Split, such as `train2017`.
        split: String,
        /// Grouping of several instances.
        #[serde(default)]
        grouping: Grouping,
        /// Smallest share of the picture that an instance must cover, 0 to 1.
        #[serde(default)]
        min_area: f64,
    },
    /// COCO's instances by a picture of another of the same category.
    CocoPairs {
        /// COCO's folder.
        root: PathBuf,
        /// Split, such as `train2017`.
        split: String,
        /// Smallest share of the picture that an instance must cover, 0 to 1.
        #[serde(default)]
        min_area: f64,
        /// Probability that the reference's background is blacked out.
        mask_crop_probability: f64,
    },
    /// COCO's instances by a picture of another, in a fold of COCO-20i.
    #[serde(rename = "coco_20i")]
    Coco20i {
        /// COCO's folder.
        root: PathBuf,
        /// `train2014` or `val2014`.
        split: String,
        /// Fold, 0 to 3.
        fold: usize,
        /// `train` for the categories outside the fold, `test` for the fold's own.
        part: FoldPart,
        /// Probability that the reference's background is blacked out.
        mask_crop_probability: f64,
    },
    /// PASCAL VOC's classes by a picture of another instance, in a fold of PASCAL-5i.
    #[serde(rename = "pascal_5i")]
    Pascal5i {
        /// Folder of `VOCdevkit` and of HSNet's `splits`.
        root: PathBuf,
        /// Fold, 0 to 3.
        fold: usize,
        /// `train` for the classes outside the fold, `test` for the fold's own.
        part: FoldPart,
        /// Probability that the reference's background is blacked out.
        mask_crop_probability: f64,
    },
    /// COCO-Stuff's classes.
    CocoStuff {
        /// COCO-Stuff's folder.
        root: PathBuf,
        /// `train2017` or `val2017`.
        split: String,
        /// COCO's folder, which holds the pictures.
        coco: PathBuf,
        /// Whether compound classes such as `wall-brick` are included.
        #[serde(default)]
        compounds: bool,
        /// Smallest share of the picture that a class must cover, 0 to 1.
        #[serde(default)]
        min_area: f64,
    },
    /// ADE20K's classes.
    #[serde(rename = "ade20k")]
    Ade20k {
        /// ADE20K's folder.
        root: PathBuf,
        /// `training` or `validation`.
        split: String,
        /// Smallest share of the picture that a class must cover, 0 to 1.
        #[serde(default)]
        min_area: f64,
    },
    /// ADE20K's instances.
    #[serde(rename = "ade20k_instances")]
    Ade20kInstances {
        /// ADE20K's folder.
        root: PathBuf,
        /// `training` or `validation`.
        split: String,
        /// Grouping of several instances.
        #[serde(default)]
        grouping: Grouping,
        /// Smallest share of the picture that an instance must cover, 0 to 1.
        #[serde(default)]
        min_area: f64,
    },
    /// PACO-LVIS.
    Paco {
        /// PACO's folder.
        root: PathBuf,
        /// `train`, `val` or `test`.
        split: String,
        /// COCO's folder, which holds the pictures.
        coco: PathBuf,
    },
    /// PASCAL-Part.
    PascalPart {
        /// Folder of the data set.
        root: PathBuf,
        /// Split, such as `train`.
        split: String,
    },
    /// PhraseCut.
    PhraseCut {
        /// Folder of the data set.
        root: PathBuf,
        /// `train`, `val`, `miniv` or `test`.
        split: String,
        /// Grouping of several instances.
        #[serde(default)]
        grouping: Grouping,
    },
    /// ReasonSeg.
    ReasonSeg {
        /// Folder of the data set.
        root: PathBuf,
        /// `train`, `val` or `test`.
        split: String,
    },
    /// Visual Genome's regions.
    VisualGenome {
        /// Folder of the data set.
        root: PathBuf,
    },
    /// AVSBench with one sound source a video.
    AvsS4 {
        /// AVSBench's folder `Single-source`.
        root: PathBuf,
        /// `train`, `val` or `test`.
        split: String,
    },
    /// AVSBench with several sound sources.
    AvsMs3 {
        /// AVSBench's folder `Multi-sources`.
        root: PathBuf,
        /// `train`, `val` or `test`.
        split: String,
    },
    /// AVSBench-semantic.
    AvsSemantic {
        /// Folder of the data set.
        root: PathBuf,
        /// `train`, `val` or `test`.
        split: String,
    },
    /// JSON Lines file of your own; see `docs/your-data.md`.
    Own {
        /// Path of the file, one JSON object a line.
        file: PathBuf,
    },
}

impl Source {
    /// Reads the annotations. `seed` decides the random choices of the data set.
    ///
    /// # Errors
    /// When they cannot be read, or leave nothing to ask.
    pub fn open(&self, seed: u64) -> Result<Arc<dyn Dataset>> {
        Ok(match self.clone() {
            Self::Refer {
                root,
                name,
                split_by,
                split,
                describe,
                images,
            } => {
                let direction = match describe {
                    true => Direction::Describe,
                    false => Direction::Segment,
                };
                let options = ReferOptions {
                    direction,
                    images,
                    ..ReferOptions::new(&name, &split_by, &split)
                };
                Arc::new(Refer::open(&root, &options)?)
            }
            Self::Grefcoco {
                root,
                split,
                grouping,
                images,
            } => Arc::new(GRefCoco::open(&root, &split, grouping, images)?),
            Self::Coco {
                root,
                split,
                grouping,
                min_area,
            } => {
                let options = CocoOptions {
                    grouping,
                    min_area,
                    ..Default::default()
                };
                Arc::new(Coco::open(&root, &split, &options)?)
            }
            Self::CocoPairs {
                root,
                split,
                min_area,
                mask_crop_probability,
            } => {
                let annotations = root.join(annotations_path(&split));
                let file = Arc::new(CocoFile::open(&annotations)?);
                let options = PairOptions {
                    min_area,
                    mask_crop_probability,
                    seed,
                    ..Default::default()
                };
                let name = format!("COCO pairs {split}");
                Arc::new(CocoPairs::new(&name, &root.join(&split), file, options)?)
            }
            Self::Coco20i {
                root,
                split,
                fold,
                part,
                mask_crop_probability,
            } => {
                let options = PairOptions {
                    mask_crop_probability,
                    seed,
                    ..Default::default()
                };
                Arc::new(open_fold(&root, &split, fold, part, options)?)
            }
            Self::Pascal5i {
                root,
                fold,
                part,
                mask_crop_probability,
            } => {
                let options = EpisodeOptions {
                    fold,
                    part,
                    mask_crop_probability,
                    seed,
                };
                Arc::new(Pascal5i::open(&root, options)?)
            }
            Self::CocoStuff {
                root,
                split,
                coco,
                compounds,
                min_area,
            } => Arc::new(coco_stuff::open(&root, &split, &coco, compounds, min_area)?),
            Self::Ade20k {
                root,
                split,
                min_area,
            } => Arc::new(ade20k::semantic(&root, &split, min_area)?),
            Self::Ade20kInstances {
                root,
                split,
                grouping,
                min_area,
            } => Arc::new(ade20k::instances(&root, &split, grouping, min_area)?),
            Self::Paco { root, split, coco } => Arc::new(paco::open(&root, &split, &coco)?),
            Self::PascalPart { root, split } => Arc::new(pascal_part::open(&root, &split)?),
            Self::PhraseCut {
                root,
                split,
                grouping,
            } => Arc::new(PhraseCut::open(&root, &split, grouping)?),
            Self::ReasonSeg { root, split } => Arc::new(ReasonSeg::open(&root, &split)?),
            Self::VisualGenome { root } => Arc::new(VisualGenome::open(&root)?),
            Self::AvsS4 { root, split } => Arc::new(AvsBench::s4(&root, &split, false)?),
            Self::AvsMs3 { root, split } => Arc::new(AvsBench::ms3(&root, &split, false)?),
            Self::AvsSemantic { root, split } => Arc::new(AvsBench::semantic(&root, &split)?),
            Self::Own { file } => Arc::new(Jsonl::open(&file)?),
        })
    }
}

/// Unit that an epoch counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Item: a sentence about an instance, or a category in a picture.
    #[default]
    Item,
    /// Picture, with an instance or category drawn, and one of its sentences.
    Picture,
}

impl Per {
    fn is_item(&self) -> bool {
        *self == Self::Item
    }
}

/// Data set with its weight in a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedSource {
    /// Data set and its location.
    pub source: Source,
    /// Weight in the mixture. By default the number of its items, or of its pictures when pictures
    /// are counted, as in a plain concatenation.
    #[serde(default)]
    pub weight: Option<f64>,
    /// Unit that is counted. Not serialised when it is an item, so that older runs can be resumed.
    #[serde(default, skip_serializing_if = "Per::is_item")]
    pub per: Per,
}

impl WeightedSource {
    /// Reads the annotations, as [`Source::open`] does, and groups the items by picture when
    /// pictures are counted.
    ///
    /// # Errors
    /// As [`Source::open`], and when an item's annotation names a picture that the file does not
    /// list.
    pub fn open(&self, seed: u64) -> Result<Arc<dyn Dataset>> {
        let dataset = self.source.open(seed)?;
        Ok(match self.per {
            Per::Item => dataset,
            Per::Picture => Arc::new(PerPicture::new(dataset)?),
        })
    }
}
