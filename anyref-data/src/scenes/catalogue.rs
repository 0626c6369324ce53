//! Catalogue of stamps: file, name, noun, sound, and the nouns held out of training.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

const STAMPS: &str = include_str!("../../assets/stamps.json");

/// Cut-out picture of the stamp package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Path of the picture, relative to the stamps folder.
    pub path: String,
    /// Specific name, as exact as the picture allows.
    pub name: String,
    /// Plain noun; instances of one noun may refer to one another.
    pub noun: String,
    /// Top-level folder: animals, food, vehicles and so on.
    pub category: String,
    /// Whether it is a photograph rather than a drawing.
    pub photo: bool,
    /// Path of the object's sound, relative to the stamps folder.
    pub sound: Option<String>,
}

/// List of stamps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    /// Package and version that the paths refer to.
    pub source: String,
    /// Nouns that never occur in training.
    pub novel: BTreeSet<String>,
    /// Usable pictures.
    pub stamps: Vec<Stamp>,
}

impl Catalogue {
    /// Parses the catalogue built into the program.
    ///
    /// # Errors
    /// When the built-in list is not a catalogue in JSON.
    pub(crate) fn built_in() -> Result<Self> {
        serde_json::from_str(STAMPS).map_err(Error::Catalogue)
    }

    /// Returns whether a noun is held out of training.
    pub(crate) fn is_novel(&self, noun: &str) -> bool {
        self.novel.contains(noun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_novel_noun_has_a_photograph_and_no_known_name_gives_it_away() {
        let catalogue = Catalogue::built_in().unwrap();
        assert_eq!(catalogue.novel.len(), 24);
        for noun in &catalogue.novel {
            assert!(
                catalogue.stamps.iter().any(|s| s.noun == *noun && s.photo),
                "{noun}"
            );
        }
        for stamp in catalogue
            .stamps
            .iter()
            .filter(|s| !catalogue.is_novel(&s.noun))
        {
            for noun in &catalogue.novel {
                assert!(
                    !stamp.name.contains(noun.as_str()),
                    "{} holds {noun}",
                    stamp.name
                );
            }
        }
    }

    #[test]
    fn a_name_belongs_to_one_noun() {
        let catalogue = Catalogue::built_in().unwrap();
        for stamp in &catalogue.stamps {
            for other in &catalogue.stamps {
                let clash = stamp.name == other.noun || stamp.name == other.name;
                assert!(
                    !clash || stamp.noun == other.noun,
                    "{} / {}",
                    stamp.path,
                    other.path
                );
            }
        }
    }
}
