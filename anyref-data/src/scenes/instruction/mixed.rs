//! Questions that mix references: "the thing that makes {1}, left of {2}".

use anyref_core::Reference;
use rand::Rng;

use super::{Asker, Instruction, Kind, Target, pointing_answer};
use crate::scenes::phrases::{Side, beside, named};

/// Form of reference to the sought object in a mixed question.
enum Sought {
    Sound,
    Picture,
    Word,
}

impl Asker<'_> {
    pub(super) fn mixed(&mut self) -> Option<Instruction> {
        if self.rng.random_bool(0.25) {
            self.pair()
        } else {
            self.related()
        }
    }

    /// Question about an object beside another, at least one of them given by box, picture or
    /// sound.
    fn related(&mut self) -> Option<Instruction> {
        let sought = match self.rng.random_range(0..4) {
            0 | 1 => Sought::Sound,
            2 => Sought::Picture,
            _ => Sought::Word,
        };
        let target = match sought {
            Sought::Sound => self.sounding_object()?,
            _ => self.any_object(),
        };
        let noun = self.scene.objects[target].noun.clone();
        let among = named(self.scene, &noun);
        let anchors: Vec<(usize, Side)> = (0..self.scene.objects.len())
            .filter(|&a| self.scene.objects[a].noun != noun)
            .flat_map(|a| Side::ALL.map(|side| (a, side)))
            .filter(|&(a, side)| {
                beside(self.scene, &among, side, a).is_some_and(|found| found == [target])
            })
            .collect();
        let &(anchor, side) = self.one_of(&anchors)?;
        let anchor_noun = self.scene.objects[anchor].noun.clone();

        let mut references = Vec::new();
        let thing = match sought {
            Sought::Sound => {
                references.push(self.sound_of(&noun)?);
                "the thing that makes {1}".to_owned()
            }
            Sought::Picture => {
                references.push(self.picture_of(target));
                "the thing like {1}".to_owned()
            }
            Sought::Word => noun.clone(),
        };
        let alone = named(self.scene, &anchor_noun).len() == 1;
        let number = references.len() + 1;
        let beside_what = match self.rng.random_range(0..3) {
            // A picture or a word can refer to an anchor only if no other object has its noun.
            0 if alone => {
                references.push(self.picture_of(anchor));
                format!("{{{number}}}")
            }
            1 if alone && !references.is_empty() => format!("the {anchor_noun}"),
            _ => {
                references.push(Reference::Box(self.loose_box(anchor)));
                format!("{{{number}}}")
            }
        };
        // If only the box identifies the anchor, words about it would be ambiguous.
        let phrase = if alone {
            format!("{noun} {} the {anchor_noun}", side.relation())
        } else {
            noun.clone()
        };
        let targets = vec![Target::at(vec![target], phrase, noun)];
        Some(Instruction {
            kind: Kind::Mixed,
            question: format!(
                "Can you segment {thing}, {} {beside_what} in this image?",
                side.relation()
            ),
            references,
            answer: pointing_answer(&targets),
            targets,
            described: None,
            misnamed: false,
        })
    }

    /// Question about two objects at once, by two references or a word and a reference.
    fn pair(&mut self) -> Option<Instruction> {
        let first = self.any_object();
        let second = self.any_object();
        let nouns = [first, second].map(|i| self.scene.objects[i].noun.clone());
        if nouns[0] == nouns[1] {
            return None;
        }
        let mut references = Vec::new();
        let mut words = Vec::new();
        for (k, object) in [first, second].into_iter().enumerate() {
            let number = references.len() + 1;
            let has_sound = !self.library.recordings(&nouns[k]).is_empty();
            // The second is a reference, whatever the first is.
            match self.rng.random_range(k..3) {
                0 => words.push(nouns[k].clone()),
                1 if has_sound => {
                    references.push(self.sound_of(&nouns[k])?);
                    words.push(format!("the thing that makes {{{number}}}"));
                }
                _ => {
                    references.push(self.picture_of(object));
                    words.push(format!("the thing like {{{number}}}"));
                }
            }
        }
        let targets: Vec<Target> = nouns
            .into_iter()
            .map(|noun| Target::at(named(self.scene, &noun), noun.clone(), noun))
            .collect();
        Some(Instruction {
            kind: Kind::Mixed,
            question: format!("Can you segment {} in this image?", words.join(" and ")),
            references,
            answer: pointing_answer(&targets),
            targets,
            described: None,
            misnamed: false,
        })
    }
}
