//! Visual Genome's regions: boxes and the phrases that describe them.
//!
//! ```text
//! ROOT/region_descriptions.json
//! ROOT/image_data.json
//! ROOT/VG_100K/, ROOT/VG_100K_2/            pictures
//! ```

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::dataset::{Dataset, entry, some};
use super::error::{Error, Result};
use super::files;
use super::item::{Item, Reference, Task, corners};

#[derive(Deserialize)]
struct Picture {
    #[serde(alias = "id")]
    image_id: i64,
    width: u32,
    height: u32,
    url: String,
}

#[derive(Deserialize)]
struct Described {
    id: i64,
    regions: Vec<RegionLine>,
}

#[derive(Deserialize)]
struct RegionLine {
    region_id: i64,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    phrase: String,
}

#[derive(Debug)]
struct Entry {
    id: i64,
    image: usize,
    area: [f64; 4],
    phrase: String,
}

/// One question for each region.
#[derive(Debug)]
pub(crate) struct VisualGenome {
    images: Vec<(PathBuf, [u32; 2])>,
    entries: Vec<Entry>,
}

const NAME: &str = "Visual Genome regions";

impl VisualGenome {
    /// Opens the regions. Boxes are clipped to their picture; regions that are empty afterwards or
    /// have no words are left out.
    ///
    /// # Errors
    /// When the annotations cannot be read, or regions name a picture that is not listed.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        let path = root.join("image_data.json");
        let pictures: Vec<Picture> = files::json(&path)?;
        let mut images = Vec::with_capacity(pictures.len());
        let mut places = HashMap::new();
        for picture in pictures {
            places.insert(picture.image_id, images.len());
            images.push((root.join(file(&picture)), [picture.width, picture.height]));
        }
        let path = root.join("region_descriptions.json");
        let described: Vec<Described> = files::json(&path)?;
        let mut entries = Vec::new();
        for Described { id, regions } in described {
            let Some(&image) = places.get(&id) else {
                let reason =
                    format!("regions of picture {id}, which image_data.json does not list");
                return Err(Error::format(&path, reason));
            };
            let [width, height] = images[image].1.map(f64::from);
            for region in regions {
                let phrase = region.phrase.trim().to_owned();
                let [x0, y0, x1, y1] = corners([region.x, region.y, region.width, region.height]);
                let area = [x0.max(0.0), y0.max(0.0), x1.min(width), y1.min(height)];
                if area[0] < area[2] && area[1] < area[3] && !phrase.is_empty() {
                    entries.push(Entry {
                        id: region.region_id,
                        image,
                        area,
                        phrase,
                    });
                }
            }
        }
        some(NAME, &entries)?;
        Ok(Self { images, entries })
    }
}

/// Folder and file name of a picture, from its URL.
fn file(picture: &Picture) -> PathBuf {
    let folder = match picture.url.contains("VG_100K_2") {
        true => "VG_100K_2",
        false => "VG_100K",
    };
    Path::new(folder).join(format!("{}.jpg", picture.image_id))
}

impl Dataset for VisualGenome {
    fn name(&self) -> &str {
        NAME
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn item(&self, index: usize, _draw: u64) -> Result<Item> {
        let region = entry(NAME, &self.entries, index)?;
        let (path, size) = &self.images[region.image];
        let mut item = Item::new(region.id, path.clone(), *size, Task::Describe);
        item.references.push(Reference::Box(region.area));
        item.expressions.push(region.phrase.clone());
        item.annotations.push(region.id.into());
        Ok(item)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let images = self.entries.iter().map(|e| &self.images[e.image].0);
        images.cloned().collect()
    }
}
