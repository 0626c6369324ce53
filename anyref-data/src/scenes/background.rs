//! Backgrounds: random crops of photographs free of objects, and procedural textures.

use std::path::Path;

use rand::Rng;

use super::error::{Error, Result};
use super::field::{self, Rgb};

/// Pictures of `tuxpaint-data` (folder `templates`) that show no object, used in training.
const TRAINING: [&str; 13] = [
    "burnt_bark.jpg",
    "cliff.jpg",
    "corn_maze.jpg",
    "mossy_bark.jpg",
    "mossy_log.jpg",
    "ocean_splash.jpg",
    "redwoods_above.jpg",
    "rocks.jpg",
    "spiders_web.jpg",
    "sun_behind_clouds.jpg",
    "trees_at_dusk.jpg",
    "wool_mill_machine.jpg",
    "reef-back.png",
];
/// Pictures held out for validation.
const HELD_OUT: [&str; 4] = [
    "mudstone.jpg",
    "ocean_waves.jpg",
    "sun_behind_leaves.jpg",
    "trees_above.jpg",
];
/// Share of every side that is never used, because some pictures have dark bars there.
const BORDER: f32 = 0.09;

/// Photograph as a mipmap: each level has half the resolution of the one before.
#[derive(Debug)]
struct Photograph {
    levels: Vec<(usize, usize, Vec<Rgb>)>,
}

impl Photograph {
    fn open(path: &Path) -> Result<Self> {
        let picture = image::open(path)
            .map_err(|source| Error::Picture {
                path: path.to_owned(),
                source,
            })?
            .into_rgb8();
        let levels = (0..3)
            .map(|level| {
                let (w, h) = (
                    (picture.width() >> level).max(1),
                    (picture.height() >> level).max(1),
                );
                let scaled = image::imageops::thumbnail(&picture, w, h);
                (
                    w as usize,
                    h as usize,
                    scaled.pixels().map(|p| p.0).collect(),
                )
            })
            .collect();
        Ok(Self { levels })
    }

    /// Fills the canvas with a random crop.
    fn paint(&self, canvas: &mut [Rgb], width: usize, rng: &mut impl Rng) {
        let height = canvas.len() / width;
        let (full_w, full_h) = (self.levels[0].0 as f32, self.levels[0].1 as f32);
        let (room_w, room_h) = (full_w * (1.0 - 2.0 * BORDER), full_h * (1.0 - 2.0 * BORDER));
        // From a third of the largest step that keeps the crop inside up to the largest.
        let largest = (room_w / width as f32).min(room_h / height as f32);
        let step = largest * rng.random_range(0.35..1.0f32);
        let x0 = full_w * BORDER + rng.random_range(0.0..=1.0) * (room_w - step * width as f32);
        let y0 = full_h * BORDER + rng.random_range(0.0..=1.0) * (room_h - step * height as f32);
        let mirrored = rng.random_bool(0.5);
        let wanted = step.log2().round().max(0.0) as usize;
        let (lw, lh, pixels) = &self.levels[wanted.min(self.levels.len() - 1)];
        let (sx, sy) = (*lw as f32 / full_w, *lh as f32 / full_h);
        let columns: Vec<(usize, u32)> = (0..width)
            .map(|x| {
                let x = if mirrored { width - 1 - x } else { x };
                let u = ((x0 + (x as f32 + 0.5) * step) * sx - 0.5).clamp(0.0, (lw - 2) as f32);
                (u as usize, (u.fract() * 256.0) as u32)
            })
            .collect();
        for (y, line) in canvas.chunks_exact_mut(width).enumerate() {
            let v = ((y0 + (y as f32 + 0.5) * step) * sy - 0.5).clamp(0.0, (lh - 2) as f32);
            let (row, fv) = (v as usize, (v.fract() * 256.0) as u32);
            let above = &pixels[row * lw..(row + 1) * lw];
            let below = &pixels[(row + 1) * lw..(row + 2) * lw];
            for (out, &(u, fu)) in line.iter_mut().zip(&columns) {
                let (a, b, c, d) = (above[u], above[u + 1], below[u], below[u + 1]);
                *out = std::array::from_fn(|k| {
                    let top = u32::from(a[k]) * (256 - fu) + u32::from(b[k]) * fu;
                    let low = u32::from(c[k]) * (256 - fu) + u32::from(d[k]) * fu;
                    ((top * (256 - fv) + low * fv) >> 16) as u8
                });
            }
        }
    }
}

/// Backgrounds of all scenes, by split.
#[derive(Debug, Default)]
pub(crate) struct Backgrounds {
    training: Vec<Photograph>,
    held_out: Vec<Photograph>,
}

impl Backgrounds {
    /// Backgrounds with procedural textures only.
    pub(crate) fn procedural() -> Self {
        Self::default()
    }

    /// Loads the photographs of an unpacked `tuxpaint-data`, from the folder that holds `templates`
    /// or from the pictures' own. Expected pictures that are missing are skipped.
    ///
    /// # Errors
    /// When a picture cannot be read, or none exists for training or for validation.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let load = |names: &[&str]| -> Result<Vec<Photograph>> {
            names
                .iter()
                .flat_map(|name| {
                    ["", "templates", "starters"].map(|sub| folder.join(sub).join(name))
                })
                .filter(|path| path.is_file())
                .map(|path| Photograph::open(&path))
                .collect()
        };
        let backgrounds = Self {
            training: load(&TRAINING)?,
            held_out: load(&HELD_OUT)?,
        };
        if backgrounds.training.is_empty() || backgrounds.held_out.is_empty() {
            return Err(Error::NoBackgrounds {
                path: folder.to_owned(),
            });
        }
        Ok(backgrounds)
    }

    /// Fills a canvas: with probability `photo` from a photograph, otherwise with a texture.
    pub(crate) fn paint(
        &self,
        canvas: &mut [Rgb],
        width: usize,
        held_out: bool,
        photo: f64,
        rng: &mut impl Rng,
    ) {
        let pictures = if held_out {
            &self.held_out
        } else {
            &self.training
        };
        if !pictures.is_empty() && rng.random_bool(photo) {
            pictures[rng.random_range(0..pictures.len())].paint(canvas, width, rng);
        } else {
            field::paint(canvas, width, rng);
        }
    }
}
