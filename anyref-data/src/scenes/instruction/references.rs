//! Questions with one reference: a box to describe, or a picture or sound to find.

use anyref_audio::Waveform;
use anyref_core::{DESCRIBE_QUESTION, Reference, ReferenceImage};
use rand::Rng;

use super::{Asker, Instruction, Kind, OBJECT, Target, pointing_answer};
use crate::scenes::made_up::MadeUp;
use crate::scenes::phrases::{Expression, named};
use crate::scenes::reference::{self, Depicted, ReferenceStyle};
use crate::scenes::sound;

/// Question about the object that a picture shows, or that a box of the scene encloses.
pub(crate) const IMAGE_QUESTION: &str =
    "Can you segment object with the following reference {1} in this image?";
/// Question about the source of a sound.
pub(crate) const AUDIO_QUESTION: &str =
    "Can you segment object with the following audio {1} in this image?";
impl Asker<'_> {
    /// Box of the object with each edge shifted a little.
    pub(super) fn loose_box(&mut self, object: usize) -> [f32; 4] {
        let b = self.scene.objects[object].bounds;
        let (w, h) = (b[2] - b[0], b[3] - b[1]);
        let limits = [
            self.scene.image.width() as f32,
            self.scene.image.height() as f32,
        ];
        let jitter = self.config.box_jitter;
        let mut shift = |at: f32, side: f32, limit: f32| {
            (at + side * self.rng.random_range(-jitter..=jitter)).clamp(0.0, limit)
        };
        [
            shift(b[0], w, limits[0]),
            shift(b[1], h, limits[1]),
            shift(b[2], w, limits[0]),
            shift(b[3], h, limits[1]),
        ]
    }

    /// Picture of the object's noun: half of the time of another instance, if there is one.
    pub(super) fn picture_of(&mut self, object: usize) -> Reference {
        let object = &self.scene.objects[object];
        let others: Vec<usize> = self
            .library
            .instances(&object.noun)
            .iter()
            .copied()
            .filter(|&i| i != object.cutout && self.library.cutouts()[i].photo)
            .collect();
        let other = self.rng.random_bool(0.5);
        let cutout = self
            .one_of(&others)
            .copied()
            .filter(|_| other)
            .unwrap_or(object.cutout);
        self.picture_of_cutout(cutout)
    }

    /// Picture of a cut-out of the library.
    pub(super) fn picture_of_cutout(&mut self, cutout: usize) -> Reference {
        let library = self.library;
        self.drawn(Depicted::from(&library.cutouts()[cutout]))
    }

    /// Draws a reference picture.
    pub(super) fn drawn(&mut self, shown: Depicted) -> Reference {
        let style = ReferenceStyle {
            size: self.config.reference_size,
            mask_crop: self.rng.random_bool(self.config.mask_crop_probability),
            held_out: self.scene.split.held_out(),
        };
        let backgrounds = self.library.backgrounds();
        let picture = reference::picture(shown, backgrounds, style, &mut self.rng);
        Reference::Image(ReferenceImage::new(picture))
    }

    /// Sound of the noun, if the library has one.
    pub(super) fn sound_of(&mut self, noun: &str) -> Option<Reference> {
        let recording = self.one_of(self.library.recordings(noun))?;
        let held_out = self.scene.split.held_out();
        let heard = sound::vary(recording, held_out, &mut self.rng);
        Some(Reference::Audio(Waveform::new(heard, sound::SAMPLE_RATE)))
    }

    /// Random object whose noun has a sound.
    pub(super) fn sounding_object(&mut self) -> Option<usize> {
        let objects = &self.scene.objects;
        let sounding: Vec<usize> = (0..objects.len())
            .filter(|&i| !self.library.recordings(&objects[i].noun).is_empty())
            .collect();
        self.one_of(&sounding).copied()
    }

    /// Random object; with `twin_probability` in training, one of several with the same noun.
    fn object_to_describe(&mut self) -> usize {
        if self.in_training(self.config.twin_probability) {
            let objects = &self.scene.objects;
            let twin = |&i: &usize| {
                let alike = named(self.scene, &objects[i].noun);
                alike.len() > 1 && Expression::distinguishing(self.scene, i).is_some()
            };
            let twins: Vec<usize> = (0..objects.len()).filter(twin).collect();
            if let Some(&twin) = self.one_of(&twins) {
                return twin;
            }
        }
        self.any_object()
    }

    /// Expression that distinguishes an object from the others; with `placed_probability` in
    /// training, with its position even if not needed.
    fn description(&mut self, object: usize) -> Option<Expression> {
        if self.in_training(self.config.placed_probability) {
            let placed = Expression::placed(self.scene, object);
            if placed.is_some() {
                return placed;
            }
        }
        Expression::distinguishing(self.scene, object)
    }

    /// Asks to describe a box, in words alone or with a mask; the question says which.
    pub(super) fn describe(&mut self) -> Option<Instruction> {
        let object = self.object_to_describe();
        let phrase = self.description(object)?.text();
        let noun = self.scene.objects[object].noun.clone();
        let pointing = self.rng.random_bool(self.config.describe_mask_probability);
        let answer = format!("{phrase}{}.", if pointing { OBJECT } else { "" });
        let target = Target::at(vec![object], phrase, noun);
        Some(Instruction {
            kind: Kind::BoxToText,
            question: if pointing {
                IMAGE_QUESTION
            } else {
                DESCRIBE_QUESTION
            }
            .to_owned(),
            references: vec![Reference::Box(self.loose_box(object))],
            answer,
            targets: pointing.then_some(target).into_iter().collect(),
            described: Some(object),
            misnamed: false,
        })
    }

    /// Asks for the object in a picture. Novel scenes are asked about novel nouns only.
    pub(super) fn image(&mut self) -> Option<Instruction> {
        if self.in_training(self.config.made_up_probability) && !self.scene.made_up.is_empty() {
            return self.made_up();
        }
        let mut object = self.any_object();
        if self.scene.split.has_novel() {
            let novel = self.library.nouns(true);
            let shown: Vec<usize> = (0..self.scene.objects.len())
                .filter(|&i| novel.contains(&self.scene.objects[i].noun))
                .collect();
            object = *self.one_of(&shown)?;
        }
        let picture = self.picture_of(object);
        let mut asked = self.all_like(Kind::Image, IMAGE_QUESTION, picture, object);
        self.misname(&mut asked, object);
        Some(asked)
    }

    /// Asks for a nameless object by a picture of it. The answer names the object that lent its
    /// outline, or any other.
    fn made_up(&mut self) -> Option<Instruction> {
        let scene = self.scene;
        let index = self.rng.random_range(0..scene.made_up.len());
        let thing = &scene.made_up[index].thing;
        let name = self.name_of_made_up(thing)?;
        let target = Target {
            made_up: Some(index),
            ..Target::at(Vec::new(), name, String::new())
        };
        Some(Instruction {
            kind: Kind::Image,
            question: IMAGE_QUESTION.to_owned(),
            references: vec![self.drawn(Depicted::from(&**thing))],
            answer: pointing_answer(std::slice::from_ref(&target)),
            targets: vec![target],
            described: None,
            misnamed: true,
        })
    }

    /// Name that an answer gives to a nameless object.
    pub(super) fn name_of_made_up(&mut self, thing: &MadeUp) -> Option<String> {
        let lender = &self.library.cutouts()[thing.outline].noun;
        let named = self.library.nouns(false).contains(lender);
        Some(match named && self.rng.random_bool(0.5) {
            true => lender.clone(),
            false => self.library.draw_noun(false, &mut self.rng)?.to_owned(),
        })
    }

    /// Replaces the name of the pictured object by another, with `misnaming_probability` in
    /// training.
    fn misname(&mut self, asked: &mut Instruction, object: usize) {
        if !self.in_training(self.config.misnaming_probability) {
            return;
        }
        let noun = &self.scene.objects[object].noun;
        let shown = self.scene.objects.iter().map(|object| &object.noun);
        let shown: Vec<String> = shown.filter(|other| *other != noun).cloned().collect();
        let wrong = match self.rng.random_bool(0.5) {
            true => self.one_of(&shown).cloned(),
            false => self.absent_noun(),
        };
        if let (Some(wrong), [target]) = (wrong, &mut asked.targets[..]) {
            target.phrase = wrong;
            asked.answer = pointing_answer(&asked.targets);
            asked.misnamed = true;
        }
    }

    pub(super) fn audio(&mut self) -> Option<Instruction> {
        let object = self.sounding_object()?;
        let noun = self.scene.objects[object].noun.clone();
        let heard = self.sound_of(&noun)?;
        Some(self.all_like(Kind::Audio, AUDIO_QUESTION, heard, object))
    }

    /// Question whose reference means every object of its noun.
    fn all_like(
        &self,
        kind: Kind,
        question: &str,
        reference: Reference,
        object: usize,
    ) -> Instruction {
        let noun = self.scene.objects[object].noun.clone();
        let objects = named(self.scene, &noun);
        let targets = vec![Target::at(objects, noun.clone(), noun)];
        Instruction {
            kind,
            question: question.to_owned(),
            references: vec![reference],
            answer: pointing_answer(&targets),
            targets,
            described: None,
            misnamed: false,
        }
    }
}
