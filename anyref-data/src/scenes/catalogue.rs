//! The project's own list of stamps: file, name, noun, sound, and the nouns kept out of training.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

const STAMPS: &str = include_str!("../../assets/stamps.json");

/// One cut-out picture of the stamp package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// Picture, relative to the stamps folder.
    pub path: String,
    /// Name that a person would give it, as exact as the picture.
    pub name: String,
    /// The plain word for it; instances of one noun may refer to one another.
    pub noun: String,
    /// Top folder: animals, food, vehicles and so on.
    pub category: String,
    /// Photograph rather than drawing.
    pub photo: bool,
    /// Sound that the thing makes, relative to the stamps folder.
    pub sound: Option<String>,
}

/// The list of stamps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    /// Package and version that the paths refer to.
    pub source: String,
    /// Nouns that never occur in training.
    pub novel: BTreeSet<String>,
    /// Every usable picture.
    pub stamps: Vec<Stamp>,
}

impl Catalogue {
    /// The catalogue built into the program.
    ///
    /// # Errors
    /// When the list that is built in is not JSON of a catalogue's form.
    pub(crate) fn built_in() -> Result<Self> {
        serde_json::from_str(STAMPS).map_err(Error::Catalogue)
    }

    /// Whether a noun is kept out of training.
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
