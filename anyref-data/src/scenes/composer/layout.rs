//! Layout of objects: front to back, each behind the earlier ones with enough of it visible.

use rand::Rng;

use super::canvas;
use crate::scenes::reference::Depicted;
use crate::scenes::scene_config::SceneConfig;
use crate::scenes::sprite::{Patch, Placement, SOLID};

/// Owner of pixels that no object covers.
pub(super) const NOBODY: u8 = u8::MAX;

/// Objects placed so far, front to back, and the owner of each pixel.
pub(super) struct Layout<T> {
    width: usize,
    height: usize,
    pub(super) owners: Vec<u8>,
    pub(super) placed: Vec<(T, Placement, Patch)>,
}

impl<T> Layout<T> {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            owners: vec![NOBODY; width * height],
            placed: Vec::new(),
        }
    }

    /// Places an object behind the others where enough of it is visible, smaller after each
    /// failure.
    pub(super) fn place(
        &mut self,
        config: &SceneConfig,
        thing: T,
        shown: Depicted,
        rng: &mut impl Rng,
    ) {
        let short = self.width.min(self.height) as f32;
        let largest = (config.scale[1] * short).min(config.enlargement * shown.sprite.long_side());
        let smallest = (config.scale[0] * short).min(largest);
        // Most objects are nearly free; the others are covered as far as allowed.
        let free = if rng.random_bool(0.6) {
            0.85f32
        } else {
            config.min_visible
        };
        let mut top = largest;
        for attempt in 0..16 {
            let wish = if attempt < 6 {
                free.max(config.min_visible)
            } else {
                config.min_visible
            };
            let t: f32 = rng.random_range(0.0..=1.0);
            let long_side = smallest + (top - smallest) * t;
            let inset = (0.4 * long_side).min(0.5 * short);
            let mut along = |side: usize| rng.random_range(inset..=side as f32 - inset);
            let centre = [along(self.width), along(self.height)];
            let turn = config.rotation.to_radians();
            let placement = Placement {
                centre,
                long_side,
                angle: rng.random_range(-turn..=turn),
                flip: shown.mirror && rng.random_bool(0.5),
                soft: rng.random_bool(0.5),
            };
            let patch = shown.sprite.draw(&placement);
            let seen = self.count_free(&patch);
            let enough = seen as f32 >= wish * patch.solid_area() as f32;
            if enough && seen as f32 >= 0.001 * short * short {
                let index = self.placed.len() as u8;
                self.visit(&patch, |owner| {
                    if *owner == NOBODY {
                        *owner = index;
                    }
                });
                self.placed.push((thing, placement, patch));
                return;
            }
            top = (top * 0.9).max(smallest);
        }
    }

    fn count_free(&mut self, patch: &Patch) -> usize {
        let mut count = 0;
        self.visit(patch, |owner| count += usize::from(*owner == NOBODY));
        count
    }

    /// Calls `f` for the owner of every pixel under a solid pixel of the patch.
    fn visit(&mut self, patch: &Patch, mut f: impl FnMut(&mut u8)) {
        canvas::rows(patch, self.width, self.height, |at, pixels| {
            for (owner, pixel) in self.owners[at..].iter_mut().zip(pixels) {
                if pixel[3] >= SOLID {
                    f(owner);
                }
            }
        });
    }
}
