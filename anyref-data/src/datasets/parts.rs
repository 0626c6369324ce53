//! Objects and their parts in COCO's format, with categories named `object:part`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::annotation_id::AnnotationId;
use super::coco_file::CocoFile;
use super::dataset::{Dataset, entry, some};
use super::error::Result;
use super::item::{Item, Reference, Target, Task};
use crate::scenes::mix;

/// One question for each annotation.
#[derive(Debug)]
pub(super) struct Parts {
    name: String,
    images: PathBuf,
    file: CocoFile,
    /// Identifiers of the annotations, without crowds.
    entries: Vec<AnnotationId>,
}

impl Parts {
    pub(super) fn open(name: String, annotations: &Path, images: PathBuf) -> Result<Self> {
        let file = CocoFile::open(annotations)?;
        let annotations = file.annotations().iter().filter(|a| a.iscrowd == 0);
        let entries: Vec<AnnotationId> = annotations.map(|a| a.id).collect();
        some(&name, &entries)?;
        Ok(Self {
            name,
            images,
            file,
            entries,
        })
    }
}

impl Dataset for Parts {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn item(&self, index: usize, draw: u64) -> Result<Item> {
        let annotation = self
            .file
            .annotation(*entry(&self.name, &self.entries, index)?)?;
        let image = self.file.image(annotation.image_id)?;
        let path = self.images.join(&image.file_name);
        let mut item = Item::new(annotation.id, path, image.size(), Task::Text);
        let category = self.file.category(annotation.category_id);
        let phrase = phrase(category, mix(index as u64 ^ mix(draw)).is_multiple_of(2));
        item.references.push(Reference::Text(phrase.clone()));
        item.targets.push(Target {
            phrase,
            shape: annotation.shape(),
        });
        item.annotations.push(annotation.id);
        Ok(item)
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let annotations = self.file.annotations().iter().filter(|a| a.iscrowd == 0);
        let images = annotations.filter_map(|a| self.file.image(a.image_id).ok());
        images
            .map(|image| self.images.join(&image.file_name))
            .collect()
    }
}

/// Phrase for a category: `trash_can:rim` as `trash can rim` if `short`, or
/// `the rim of the trash can`. A qualifier in brackets is left out.
fn phrase(category: &str, short: bool) -> String {
    let words = |name: &str| {
        let name = name.split("_(").next().unwrap_or(name);
        name.replace('_', " ")
    };
    match category.trim().split_once(':') {
        None => words(category.trim()),
        Some((object, part)) if short => format!("{} {}", words(object), words(part)),
        Some((object, part)) => format!("the {} of the {}", words(part), words(object)),
    }
}

#[cfg(test)]
mod tests {
    use super::phrase;

    #[test]
    fn categories_are_said_in_words() {
        assert_eq!(phrase("trash_can:rim", true), "trash can rim");
        assert_eq!(phrase("trash_can:rim", false), "the rim of the trash can");
        assert_eq!(phrase("mouse_(computer_equipment)", false), "mouse");
        assert_eq!(
            phrase("mouse_(computer_equipment):left_button", false),
            "the left button of the mouse"
        );
    }
}
