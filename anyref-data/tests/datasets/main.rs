//! Readers on tiny data sets in their published layouts, against pycocotools and the REFER API's
//! rules.

mod avsbench;
mod coco;
mod jsonl;
mod labels;
mod missing;
mod mixture;
mod page;
mod pascal_5i;
mod per_picture;
mod phrases;
mod polygons;
mod refer;
mod support;
mod templates;
