//! COCO's JSON format: pictures with their masks, as pycocotools reads it.

use std::path::Path;

use anyhow::{Context, Result};
use anyref_core::Mask;
use anyref_decoder::rle::Rle;
use anyref_weights::write_atomic;
use serde::Serialize;

use crate::output::cannot_write;

/// COCO document that grows picture by picture. Ids of pictures, annotations and categories start
/// at 1.
#[derive(Debug, Default, Serialize)]
pub struct CocoDocument {
    info: Info,
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Debug, Serialize)]
struct Info {
    description: &'static str,
}

#[derive(Debug, Serialize)]
struct Image {
    id: usize,
    file_name: String,
    width: u32,
    height: u32,
}

#[derive(Debug, Serialize)]
struct Category {
    id: usize,
    name: String,
}

/// Mask in a picture.
#[derive(Debug, Serialize)]
struct Annotation {
    id: usize,
    image_id: usize,
    category_id: usize,
    segmentation: Rle,
    area: u64,
    /// Box `[x, y, width, height]` of the pixels, as pycocotools' `toBbox` gives it.
    bbox: [usize; 4],
    iscrowd: u8,
    score: f32,
    #[serde(flatten)]
    automatic: Option<AutomaticFields>,
}

/// Additional fields of automatic masks, with the names of segment-anything's
/// `SamAutomaticMaskGenerator`.
#[derive(Debug, Clone, Serialize)]
pub struct AutomaticFields {
    /// IoU estimate of the mask decoder.
    pub predicted_iou: f32,
    /// IoU of the masks at a higher and at a lower threshold.
    pub stability_score: f32,
    /// Point that prompted for the mask, one pair `(x, y)` in pixels.
    pub point_coords: [[f64; 2]; 1],
    /// Crop of the picture that was encoded, `[x, y, width, height]`.
    pub crop_box: [u32; 4],
}

impl Default for Info {
    fn default() -> Self {
        Self {
            description: concat!("anyref ", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl CocoDocument {
    /// Adds a picture of `(width, height)` pixels and returns its id.
    pub fn add_image(
        &mut self,
        file_name: impl Into<String>,
        (width, height): (u32, u32),
    ) -> usize {
        let id = self.images.len() + 1;
        self.images.push(Image {
            id,
            file_name: file_name.into(),
            width,
            height,
        });
        id
    }

    /// Adds a mask of the category `name` to the picture with the id `image`.
    pub fn add_mask(&mut self, image: usize, name: &str, mask: &Mask) {
        self.add(image, name, mask, None);
    }

    /// Adds an automatic mask to the picture with the id `image`; its category is `object`.
    pub fn add_automatic(&mut self, image: usize, mask: &Mask, fields: AutomaticFields) {
        self.add(image, "object", mask, Some(fields));
    }

    fn add(&mut self, image: usize, name: &str, mask: &Mask, automatic: Option<AutomaticFields>) {
        let category = self.category(name);
        self.annotations.push(Annotation {
            id: self.annotations.len() + 1,
            image_id: image,
            category_id: category,
            segmentation: mask.rle.clone(),
            area: mask.area(),
            bbox: mask.rle.bbox(),
            iscrowd: 0,
            score: mask.score,
            automatic,
        });
    }

    /// Id of the category `name`, which is created if it does not exist.
    fn category(&mut self, name: &str) -> usize {
        if let Some(known) = self.categories.iter().find(|known| known.name == name) {
            return known.id;
        }
        let id = self.categories.len() + 1;
        self.categories.push(Category {
            id,
            name: name.to_owned(),
        });
        id
    }

    /// Serialises the document on one line.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Writes the document atomically.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomic(path, self.to_json()? + "\n").with_context(|| cannot_write(path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn mask(on: std::ops::Range<usize>, score: f32) -> Mask {
        let pixels: Vec<bool> = (0..12).map(|pixel| on.contains(&pixel)).collect();
        Mask {
            rle: Rle::from_mask(&pixels, [3, 4]).unwrap(),
            score,
            words: None,
            low_res: None,
        }
    }

    #[test]
    fn the_document_has_cocos_fields_and_numbers() {
        let mut document = CocoDocument::default();
        let first = document.add_image("a.jpg", (4, 3));
        document.add_mask(first, "dog", &mask(1..3, 0.5));
        let second = document.add_image("b.jpg", (4, 3));
        document.add_mask(second, "cat", &mask(4..8, 1.0));
        document.add_mask(second, "dog", &mask(0..12, 0.25));
        let fields = AutomaticFields {
            predicted_iou: 1.01,
            stability_score: 0.97,
            point_coords: [[1.5, 0.5]],
            crop_box: [0, 0, 4, 3],
        };
        document.add_automatic(second, &mask(0..1, 1.0), fields);
        let value: Value = serde_json::from_str(&document.to_json().unwrap()).unwrap();
        assert_eq!(
            value["images"][1],
            json!({"id": 2, "file_name": "b.jpg", "width": 4, "height": 3})
        );
        assert_eq!(
            value["annotations"][0],
            json!({
                "id": 1, "image_id": 1, "category_id": 1, "area": 2, "bbox": [1, 0, 2, 1],
                "segmentation": {"size": [3, 4], "counts": "31203"}, "iscrowd": 0, "score": 0.5,
            })
        );
        let categories: Vec<_> = (0..3)
            .map(|i| value["categories"][i]["name"].clone())
            .collect();
        assert_eq!(categories, ["dog", "cat", "object"]);
        assert_eq!(value["annotations"][2]["category_id"], 1);
        let automatic = &value["annotations"][3];
        assert_eq!(automatic["point_coords"], json!([[1.5, 0.5]]));
        assert_eq!(automatic["crop_box"], json!([0, 0, 4, 3]));
        assert_eq!(automatic["category_id"], 3);
    }
}
