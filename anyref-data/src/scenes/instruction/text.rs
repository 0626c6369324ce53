//! Questions in words: about one object, several, all of a noun, and absent objects.

use anyref_audio::Waveform;
use anyref_core::Reference;
use rand::Rng;

use super::{Asker, Instruction, Kind, Target, absent_answer, pointing_answer};
use crate::scenes::made_up::MadeUp;
use crate::scenes::phrases::{Expression, Side, named};
use crate::scenes::reference::Depicted;
use crate::scenes::sound;

/// Question for a phrase; users write it with and without an article.
pub(crate) fn segment_question(phrase: &str) -> String {
    format!("Can you segment {phrase} in this image?")
}

impl Asker<'_> {
    /// Unambiguous expression for an object: its plain noun half of the time.
    pub(super) fn expression(&mut self, object: usize) -> Option<Expression> {
        let all = Expression::all_for(self.scene, object);
        if self.in_training(self.config.size_probability) {
            let sized = |e: &&Expression| matches!(e, Expression::Sized(..));
            let sized: Vec<_> = all.iter().filter(sized).cloned().collect();
            if let Some(expression) = self.one_of(&sized) {
                return Some(expression.clone());
            }
        }
        let (plain, other): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|e| matches!(e, Expression::Named(_)));
        let from = if !plain.is_empty() && (other.is_empty() || self.rng.random_bool(0.5)) {
            plain
        } else {
            other
        };
        self.one_of(&from).cloned()
    }

    fn with_article(&mut self, phrase: &str) -> String {
        let article = !phrase.starts_with("every ") && self.rng.random_bool(0.4);
        format!("{}{phrase}", if article { "the " } else { "" })
    }

    pub(super) fn text(&mut self) -> Option<Instruction> {
        let form: f64 = self.rng.random();
        let targets = if form < 0.65 {
            let object = self.any_object();
            vec![self.single(object)?]
        } else if form < 0.8 {
            vec![self.all_of_a_noun()?]
        } else {
            let first = self.any_object();
            let second = self.any_object();
            if first == second {
                return None;
            }
            vec![self.single(first)?, self.single(second)?]
        };
        let phrases: Vec<String> = targets
            .iter()
            .map(|t| t.phrase.clone())
            .map(|p| self.with_article(&p))
            .collect();
        Some(Instruction {
            kind: Kind::Text,
            question: segment_question(&phrases.join(" and ")),
            references: Vec::new(),
            answer: pointing_answer(&targets),
            targets,
            described: None,
            misnamed: false,
        })
    }

    fn single(&mut self, object: usize) -> Option<Target> {
        let phrase = self.expression(object)?.text();
        let noun = self.scene.objects[object].noun.clone();
        Some(Target::at(vec![object], phrase, noun))
    }

    /// Every object of a noun that occurs more than once: "dog", "every dog".
    fn all_of_a_noun(&mut self) -> Option<Target> {
        let object = self.any_object();
        let noun = self.scene.objects[object].noun.clone();
        let objects = named(self.scene, &noun);
        if objects.len() < 2 {
            return None;
        }
        let every = self.rng.random_bool(0.5);
        let phrase = if every {
            Expression::Every(noun.clone()).text()
        } else {
            noun.clone()
        };
        Some(Target::at(objects, phrase, noun))
    }

    pub(super) fn absent(&mut self) -> Option<Instruction> {
        let noun = self.absent_noun()?;
        let form: f64 = self.rng.random();
        let has_sound = !self.library.recordings(&noun).is_empty();
        let held_out = self.scene.split.held_out();
        let mut misnamed = false;
        let (question, reference, phrase) = if form < 0.15 {
            misnamed = self.in_training(self.config.made_up_probability);
            let (picture, phrase) = match misnamed {
                // A nameless object is absent too, whatever it is called.
                true => {
                    let thing = MadeUp::draw(self.library, &mut self.rng)?;
                    let name = self.name_of_made_up(&thing)?;
                    (self.drawn(Depicted::from(&thing)), name)
                }
                false => {
                    let cutout = self.library.draw_instance(&noun, &mut self.rng)?;
                    (self.picture_of_cutout(cutout), noun)
                }
            };
            let question = super::references::IMAGE_QUESTION.to_owned();
            (question, Some(picture), phrase)
        } else if form < 0.4 && has_sound {
            let recording = self.one_of(self.library.recordings(&noun))?;
            let heard = sound::vary(recording, held_out, &mut self.rng);
            let question = super::references::AUDIO_QUESTION.to_owned();
            let heard = Waveform::new(heard, sound::SAMPLE_RATE);
            (question, Some(Reference::Audio(heard)), noun)
        } else {
            let phrase = match self.rng.random_range(0..6) {
                0 => Expression::Placed(noun, *self.one_of(&Side::ALL)?).text(),
                1 => {
                    let anchor = self.any_object();
                    let anchor = self.scene.objects[anchor].noun.clone();
                    Expression::Related(noun, *self.one_of(&Side::ALL)?, anchor).text()
                }
                _ => noun,
            };
            (segment_question(&self.with_article(&phrase)), None, phrase)
        };
        Some(Instruction {
            kind: Kind::Absent,
            question,
            references: reference.into_iter().collect(),
            answer: absent_answer(&phrase),
            targets: Vec::new(),
            described: None,
            misnamed,
        })
    }
}
