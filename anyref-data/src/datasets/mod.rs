//! Published data sets, read from the layouts in which they are downloaded.
//!
//! A [`Dataset`] gives an [`Item`] by index: a picture, its references, and the masks or words of
//! the answer. Masks are kept as the files have them ([`Shape`]) and rasterised on demand, as
//! pycocotools rasterises them. Opening reads annotations only; [`check_files`] lists all missing
//! pictures, sounds and masks before a run starts.
//!
//! | file | data sets |
//! | --- | --- |
//! | `refer` | RefCLEF, RefCOCO, RefCOCO+, RefCOCOg: expressions to masks, boxes to expressions |
//! | `grefcoco` | gRefCOCO, with several targets or none |
//! | `coco` | COCO instances |
//! | `coco_pairs`, `coco_20i`, `pascal_5i` | a picture of an object to its mask in another; folds |
//! | `coco_stuff`, `ade20k` | label maps |
//! | `paco`, `pascal_part` | parts of objects |
//! | `phrase_cut`, `reason_seg`, `visual_genome` | phrases, questions and regions |
//! | `avsbench` | sounds to masks: S4, MS3 and AVSBench-semantic |
//! | `jsonl` | a JSON Lines file of your own |
//!
//! [`Source`] names a data set in a configuration and opens it; [`Per`] selects whether its items
//! or its pictures are counted. [`Templates`] turns items into questions and answers, and
//! [`Mixture`] mixes data sets.

mod ade20k;
mod annotation_id;
mod avsbench;
mod coco;
mod coco_20i;
mod coco_file;
mod coco_pairs;
mod coco_stuff;
mod dataset;
mod error;
mod files;
mod grefcoco;
mod item;
mod jsonl;
mod label_map;
mod label_pairs;
mod mixture;
mod opened;
mod paco;
mod parts;
mod pascal_5i;
mod pascal_part;
mod per_picture;
mod phrase_cut;
mod polygons;
mod reason_seg;
mod refer;
mod reference_list;
mod shape;
mod source;
mod table;
mod templates;
mod visual_genome;

pub use annotation_id::AnnotationId;
pub use coco::{Coco, CocoOptions};
pub use coco_20i::{FoldPart, fold_categories, open_fold};
pub use coco_file::CocoFile;
pub use coco_pairs::{CocoPairs, PairOptions};
pub use dataset::{Dataset, check_files, missing_files};
pub use error::{Error, Result};
pub use item::{Grouping, Item, Reference, Region, Subject, Target, Task};
pub use jsonl::Jsonl;
pub use label_map::{LabelMap, Which};
pub use mixture::{Mixture, Order, Sample};
pub use pascal_5i::{EPISODES, EpisodeOptions, Pascal5i};
pub use polygons::rasterise;
pub use reason_seg::ReasonSeg;
pub use shape::{Counts, Pixels, RunLengths, Segmentation, Shape};
pub use source::{Per, Source, WeightedSource};
pub use templates::{Conversation, Templates};
