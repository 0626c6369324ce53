//! The published data sets, read from the layouts in which they are downloaded.
//!
//! A [`Dataset`] gives an [`Item`] by index: a picture, what refers to things in it, and the masks or
//! words that answer. Masks are kept as they are written ([`Shape`]) and rasterised when asked for, as
//! pycocotools rasterises them. Opening reads annotations only; [`check_files`] lists whatever pictures,
//! sounds and masks are missing before anything starts.
//!
//! | reader | data sets |
//! | --- | --- |
//! | [`refer`] | RefCLEF, RefCOCO, RefCOCO+, RefCOCOg, expressions to masks and boxes to expressions |
//! | [`grefcoco`] | gRefCOCO, with several targets and none |
//! | [`coco`] | COCO instances |
//! | [`coco_pairs`], [`coco_20i`], [`pascal_5i`] | a picture of a thing to its mask in another, and the folds of COCO-20i and PASCAL-5i |
//! | [`coco_stuff`], [`ade20k`] | label maps |
//! | [`paco`], [`pascal_part`] | parts of objects |
//! | [`phrase_cut`], [`reason_seg`], [`visual_genome`] | phrases, questions and regions |
//! | [`avsbench`] | sounds to masks: S4, MS3 and AVSBench-semantic |
//! | [`jsonl`] | a JSON Lines file of your own |
//!
//! [`Source`] names any of them in a configuration, and [`Per`] whether its items or its pictures count. [`Templates`] turns
//! items into questions and answers, and [`Mixture`] puts data sets in proportion and order.

pub mod ade20k;
pub mod avsbench;
pub mod coco;
pub mod coco_20i;
pub mod coco_file;
pub mod coco_pairs;
pub mod coco_stuff;
pub mod grefcoco;
pub mod jsonl;

pub mod paco;
pub mod pascal_5i;
pub mod pascal_part;
pub mod phrase_cut;
pub mod polygons;
pub mod reason_seg;
pub mod refer;
pub mod visual_genome;

mod annotation_id;
mod csv;
mod dataset;
mod error;
mod files;
mod item;
mod label_map;
mod label_pairs;
mod mixture;
mod opened;
mod parts;
mod per_picture;
mod shape;
mod source;
mod templates;

pub use annotation_id::AnnotationId;
pub use dataset::{Dataset, check_files, missing_files};
pub use error::{Error, Result};
pub use item::{Grouping, Item, Reference, Region, Subject, Target, Task};
pub use label_map::LabelMap;
pub use mixture::{Mixture, Order, Sample};
pub use shape::{Counts, Pixels, RunLengths, Segmentation, Shape, Which};
pub use source::{Per, Source, WeightedSource};
pub use templates::{Conversation, Templates};
