//! Library of cut-outs and sounds that scenes are made of, with the frequencies of drawing them.

use std::collections::BTreeMap;
use std::path::Path;

use rand::Rng;
use rayon::prelude::*;

use super::background::Backgrounds;
use super::catalogue::Catalogue;
use super::error::{Error, Result};
use super::sound;
use super::sprite::Sprite;

/// Cut-out with its names.
#[derive(Debug)]
pub(crate) struct Cutout {
    /// Drawable picture.
    pub sprite: Sprite,
    /// Plain noun.
    pub noun: String,
    /// Specific name.
    pub name: String,
    /// Category: animals, food and so on.
    pub category: String,
    /// Whether it is a photograph rather than a drawing.
    pub photo: bool,
    /// Whether it may be mirrored; pictures with writing may not.
    pub mirror: bool,
}

/// Cut-outs of a noun and the noun's weight.
#[derive(Debug)]
struct Entry {
    cutouts: Vec<usize>,
    weight: f64,
}

/// Cut-outs by noun, sounds by noun, and backgrounds.
#[derive(Debug)]
pub struct Library {
    cutouts: Vec<Cutout>,
    entries: BTreeMap<String, Entry>,
    known: Vec<String>,
    novel: Vec<String>,
    trained: Vec<usize>,
    sounds: BTreeMap<String, Vec<Vec<f32>>>,
    backgrounds: Backgrounds,
    drawn_weight: f64,
}

impl Library {
    /// Indexes the cut-outs. `drawn_weight` is the weight of a drawing, against 1 for a photograph.
    pub(crate) fn new(
        cutouts: Vec<Cutout>,
        sounds: BTreeMap<String, Vec<Vec<f32>>>,
        backgrounds: Backgrounds,
        is_novel: impl Fn(&str) -> bool,
        drawn_weight: f64,
    ) -> Self {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (i, cutout) in cutouts.iter().enumerate() {
            let entry = entries.entry(cutout.noun.clone()).or_insert(Entry {
                cutouts: Vec::new(),
                weight: 0.0,
            });
            entry.cutouts.push(i);
            entry.weight += if cutout.photo { 1.0 } else { drawn_weight };
        }
        for (noun, entry) in &mut entries {
            // The square root balances rare nouns; sounding nouns are also asked for by their
            // sound.
            entry.weight = entry.weight.sqrt() * if sounds.contains_key(noun) { 1.6 } else { 1.0 };
        }
        let trained = cutouts.iter().enumerate();
        let trained = trained.filter(|(_, cutout)| !is_novel(&cutout.noun));
        let trained = trained.map(|(i, _)| i).collect();
        let drawable = entries.iter().filter(|(_, e)| e.weight > 0.0);
        let (novel, known) = drawable
            .map(|(noun, _)| noun.clone())
            .partition(|n| is_novel(n));
        Self {
            cutouts,
            entries,
            known,
            novel,
            trained,
            sounds,
            backgrounds,
            drawn_weight,
        }
    }

    /// Loads the catalogue's pictures and sounds from an unpacked stamps folder, on all cores.
    /// Pictures whose long side is below `min_side` are left out.
    ///
    /// # Errors
    /// When an existing picture or its sound cannot be read, or no picture exists that is large
    /// enough.
    pub(crate) fn stamps(
        folder: &Path,
        catalogue: &Catalogue,
        backgrounds: Backgrounds,
        min_side: f32,
        drawn_weight: f64,
    ) -> Result<Self> {
        let present: Vec<_> = catalogue
            .stamps
            .iter()
            .filter(|s| folder.join(&s.path).is_file())
            .collect();
        let cutouts: Vec<Cutout> = present
            .par_iter()
            .map(|stamp| {
                let sprite = Sprite::open(&folder.join(&stamp.path))?;
                Ok(sprite
                    .filter(|s| s.long_side() >= min_side)
                    .map(|sprite| Cutout {
                        sprite,
                        noun: stamp.noun.clone(),
                        name: stamp.name.clone(),
                        category: stamp.category.clone(),
                        photo: stamp.photo,
                        mirror: stamp.category != "town",
                    }))
            })
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .flatten()
            .collect();
        if cutouts.is_empty() {
            return Err(Error::NoStamps {
                path: folder.to_owned(),
            });
        }
        let loaded: Vec<(String, Vec<f32>)> = present
            .par_iter()
            .filter_map(|stamp| Some((&stamp.noun, folder.join(stamp.sound.as_ref()?))))
            .filter(|(_, path)| path.is_file())
            .map(|(noun, path)| Ok((noun.clone(), sound::load(&path)?)))
            .collect::<Result<_>>()?;
        let mut sounds: BTreeMap<String, Vec<Vec<f32>>> = BTreeMap::new();
        for (noun, samples) in loaded {
            let recordings = sounds.entry(noun).or_default();
            // Several pictures may share one recording.
            if !recordings.contains(&samples) {
                recordings.push(samples);
            }
        }
        sounds.retain(|noun, _| cutouts.iter().any(|c| c.noun == *noun));
        let novel = |noun: &str| catalogue.is_novel(noun);
        Ok(Self::new(cutouts, sounds, backgrounds, novel, drawn_weight))
    }

    /// Cut-outs, to which scene objects refer by index.
    pub(crate) fn cutouts(&self) -> &[Cutout] {
        &self.cutouts
    }

    /// Backgrounds.
    pub(crate) fn backgrounds(&self) -> &Backgrounds {
        &self.backgrounds
    }

    /// Nouns held out of training if `novel`, training nouns otherwise.
    pub fn nouns(&self, novel: bool) -> &[String] {
        if novel { &self.novel } else { &self.known }
    }

    /// Recordings of a noun, mono at 16 kHz.
    pub fn recordings(&self, noun: &str) -> &[Vec<f32>] {
        self.sounds.get(noun).map_or(&[], Vec::as_slice)
    }

    /// Nouns with a recording.
    pub fn sounding_nouns(&self) -> impl Iterator<Item = &str> {
        self.sounds.keys().map(String::as_str)
    }

    /// Cut-outs that show a noun.
    pub(crate) fn instances(&self, noun: &str) -> &[usize] {
        self.entries.get(noun).map_or(&[], |e| e.cutouts.as_slice())
    }

    /// Draws a noun.
    pub(crate) fn draw_noun(&self, novel: bool, rng: &mut impl Rng) -> Option<&str> {
        let nouns = self.nouns(novel);
        pick(nouns, |noun| self.entries[noun].weight, rng).map(String::as_str)
    }

    /// Draws one of the cut-outs not held out of training, drawings as often as photographs,
    /// whatever `drawn_weight` is.
    pub(crate) fn draw_cutout(&self, rng: &mut impl Rng) -> Option<usize> {
        pick(&self.trained, |_| 1.0, rng).copied()
    }

    /// Draws a cut-out of a noun, photographs more often than drawings.
    pub(crate) fn draw_instance(&self, noun: &str, rng: &mut impl Rng) -> Option<usize> {
        let weight = |&i: &usize| {
            if self.cutouts[i].photo {
                1.0
            } else {
                self.drawn_weight.max(1e-6)
            }
        };
        pick(self.instances(noun), weight, rng).copied()
    }
}

/// Draws an item by weight; `None` when there are no items.
pub(crate) fn pick<'a, T>(
    items: &'a [T],
    weight: impl Fn(&T) -> f64,
    rng: &mut impl Rng,
) -> Option<&'a T> {
    let total: f64 = items.iter().map(&weight).sum();
    let mut left = rng.random_range(0.0..1.0) * total;
    let found = items.iter().find(|item| {
        left -= weight(item);
        left < 0.0
    });
    found.or(items.last().filter(|_| total > 0.0))
}
