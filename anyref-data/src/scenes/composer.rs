//! Seeded composition of scenes: background, objects front to back, light, noise and masks.

use std::sync::Arc;

use image::RgbImage;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::library::Library;
use super::made_up::MadeUp;
use super::mask::Mask;
use super::reference::Depicted;
use super::scene_config::SceneConfig;
use super::split::Split;
use super::sprite::Placement;

pub(crate) mod canvas;
mod layout;

use canvas::Canvas;
use layout::{Layout, NOBODY};

/// Object of a scene.
#[derive(Clone, Debug)]
pub struct SceneObject {
    /// Index of the cut-out in the library.
    pub cutout: usize,
    /// Plain noun.
    pub noun: String,
    /// Specific name.
    pub name: String,
    /// Category: animals, food and so on.
    pub category: String,
    /// Tight box of the visible mask, `[x0, y0, x1, y1]` in pixels.
    pub bounds: [f32; 4],
    /// Visible pixels.
    pub mask: Mask,
    /// Number of visible pixels.
    pub area: usize,
    /// Share of the object that is visible, 0 to 1.
    pub visible: f32,
    /// Position and transform with which it was drawn.
    pub placement: Placement,
}

impl SceneObject {
    /// Centre of the visible box.
    pub fn centre(&self) -> [f32; 2] {
        let [x0, y0, x1, y1] = self.bounds;
        [0.5 * (x0 + x1), 0.5 * (y0 + y1)]
    }
}

/// Nameless object of a scene.
#[derive(Clone, Debug)]
pub struct SceneMadeUp {
    /// Picture of the object.
    pub(crate) thing: Arc<MadeUp>,
    /// Visible pixels.
    pub mask: Mask,
}

/// Composed picture with its objects, front to back.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Composed picture.
    pub image: RgbImage,
    /// Objects, nearest first.
    pub objects: Vec<SceneObject>,
    /// Nameless objects; only training scenes have any.
    pub made_up: Vec<SceneMadeUp>,
    /// Split that the scene belongs to.
    pub split: Split,
    /// Seed that the scene was composed from.
    pub seed: u64,
}

/// Composes the scene for `seed`.
pub(crate) fn compose(library: &Library, config: &SceneConfig, split: Split, seed: u64) -> Scene {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (width, height) = (config.size[0] as usize, config.size[1] as usize);
    let mut canvas = Canvas::new(width, height);
    let backgrounds = library.backgrounds();
    let photo = config.photo_background;
    backgrounds.paint(&mut canvas.pixels, width, split.held_out(), photo, &mut rng);
    if rng.random_bool(config.distractors) {
        let mut texture = Canvas::new(width, height);
        backgrounds.paint(
            &mut texture.pixels,
            width,
            split.held_out(),
            photo,
            &mut rng,
        );
        for _ in 0..rng.random_range(1..=3) {
            canvas.paste_blob(&texture, &mut rng);
        }
    }

    let mut layout = Layout::new(width, height);
    for thing in choose(library, config, split, &mut rng) {
        let shown = match &thing {
            Thing::Named(cutout) => Depicted::from(&library.cutouts()[*cutout]),
            Thing::MadeUp(thing) => Depicted::from(&**thing),
        };
        layout.place(config, thing.clone(), shown, &mut rng);
    }
    for (_, _, patch) in layout.placed.iter().rev() {
        if rng.random_bool(config.shadow) {
            canvas.shade(patch, &mut rng);
        }
        canvas.blend(patch, &canvas::light(&mut rng));
    }
    canvas.develop(config.noise, config.blur, &mut rng);

    let mut masks = vec![Mask::new(width, height); layout.placed.len()];
    for (i, &owner) in layout
        .owners
        .iter()
        .enumerate()
        .filter(|(_, o)| **o != NOBODY)
    {
        masks[owner as usize].set(i % width, i / width);
    }
    let (mut objects, mut made_up) = (Vec::new(), Vec::new());
    for ((thing, placement, patch), mask) in layout.placed.into_iter().zip(masks) {
        let Some(bounds) = mask.bounds() else {
            continue;
        };
        let cutout = match thing {
            Thing::Named(cutout) => cutout,
            Thing::MadeUp(thing) => {
                made_up.push(SceneMadeUp { thing, mask });
                continue;
            }
        };
        let source = &library.cutouts()[cutout];
        let area = mask.area();
        objects.push(SceneObject {
            cutout,
            noun: source.noun.clone(),
            name: source.name.clone(),
            category: source.category.clone(),
            bounds,
            mask,
            area,
            visible: area as f32 / patch.solid_area().max(1) as f32,
            placement,
        });
    }
    Scene {
        image: canvas.into_image(),
        objects,
        made_up,
        split,
        seed,
    }
}

/// Content of a scene.
#[derive(Clone)]
enum Thing {
    /// Cut-out of the library, by index.
    Named(usize),
    /// Nameless object.
    MadeUp(Arc<MadeUp>),
}

/// Draws the contents of a scene.
fn choose(library: &Library, config: &SceneConfig, split: Split, rng: &mut impl Rng) -> Vec<Thing> {
    let count = rng.random_range(config.objects[0]..=config.objects[1]);
    let novel = if split.has_novel() {
        rng.random_range(1..=2)
    } else {
        0
    };
    let mut nouns: Vec<&str> = (0..count)
        .filter_map(|i| library.draw_noun(i < novel, rng))
        .collect();
    if count > 1 && rng.random_bool(config.same_noun) {
        // A third of these scenes holds three of a kind, if there is room.
        let copies = if count > 3 && rng.random_bool(0.33) {
            3
        } else {
            2
        };
        for k in 1..copies.min(nouns.len()) {
            let last = nouns.len() - k;
            nouns[last] = nouns[0];
        }
    }
    let mut things: Vec<Thing> = nouns
        .iter()
        .filter_map(|noun| library.draw_instance(noun, rng))
        .map(Thing::Named)
        .collect();
    // With a probability of 0 nothing is drawn from `rng`, so that existing scenes stay unchanged.
    let learned = split == Split::Train && config.made_up > 0.0;
    if learned && rng.random_bool(config.made_up) {
        let count = rng.random_range(1..=2);
        // Objects in the middle make room: the first and the last two may share a noun.
        let surplus = (things.len() + count).saturating_sub(config.objects[1]);
        let middle = 1..things.len().saturating_sub(2).clamp(1, 1 + surplus);
        if !middle.is_empty() {
            things.drain(middle);
        }
        for _ in 0..count {
            things.extend(unlike(library, &nouns, rng).map(Thing::MadeUp));
        }
    }
    // List order is depth order, so it is shuffled: depth must not reveal novel or repeated nouns.
    for i in (1..things.len()).rev() {
        things.swap(i, rng.random_range(0..=i));
    }
    things
}

/// Nameless object whose outline is not one of `nouns`.
fn unlike(library: &Library, nouns: &[&str], rng: &mut impl Rng) -> Option<Arc<MadeUp>> {
    let other = |made_up: &MadeUp| {
        let outline = &library.cutouts()[made_up.outline].noun;
        !nouns.contains(&outline.as_str())
    };
    let drawn = (0..4).find_map(|_| MadeUp::draw(library, rng).filter(other));
    drawn.map(Arc::new)
}
