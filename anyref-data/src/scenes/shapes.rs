//! Procedural library of coloured shapes, each with a synthetic sound. Needs no download.

use std::collections::BTreeMap;
use std::f32::consts::TAU;

use image::{Rgba, RgbaImage};

use super::background::Backgrounds;
use super::library::{Cutout, Library};
use super::sound::SAMPLE_RATE;
use super::sprite::Sprite;

/// Side of a shape's picture in pixels.
const SIDE: u32 = 128;

const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [214, 40, 46]),
    ("green", [44, 160, 66]),
    ("blue", [38, 84, 206]),
    ("yellow", [240, 206, 44]),
    ("purple", [134, 54, 170]),
    ("white", [240, 240, 236]),
];

/// Nouns of the shapes; those in `NOVEL` are held out of training.
const NOUNS: [&str; 10] = [
    "circle", "square", "triangle", "star", "ring", "cross", "heart", "moon", "hexagon", "bar",
];
const NOVEL: [&str; 2] = ["heart", "hexagon"];

/// Library of shapes.
pub(crate) fn library() -> Library {
    let mut cutouts = Vec::new();
    let mut sounds = BTreeMap::new();
    for (index, noun) in NOUNS.into_iter().enumerate() {
        for (colour, rgb) in COLOURS {
            cutouts.extend(draw(noun, rgb).map(|sprite| Cutout {
                sprite,
                noun: noun.to_owned(),
                name: format!("{colour} {noun}"),
                category: "shapes".to_owned(),
                photo: true,
                mirror: true,
            }));
        }
        sounds.insert(noun.to_owned(), vec![tone(index)]);
    }
    let novel = |noun: &str| NOVEL.contains(&noun);
    Library::new(cutouts, sounds, Backgrounds::procedural(), novel, 1.0)
}

/// Returns whether a point of the square from -1 to 1 lies in a shape.
fn inside(noun: &str, x: f32, y: f32) -> bool {
    let r = x.hypot(y);
    match noun {
        "circle" => r < 1.0,
        "square" => x.abs().max(y.abs()) < 0.92,
        "triangle" => y < 0.9 && y > 2.0 * x.abs() - 0.95,
        "star" => {
            let turn = (x.atan2(-y) / TAU * 5.0).rem_euclid(1.0);
            r < 0.4 + 0.6 * (2.0 * turn - 1.0).abs().powf(1.6)
        }
        "ring" => r < 1.0 && r > 0.55,
        "cross" => x.abs().min(y.abs()) < 0.3 && x.abs().max(y.abs()) < 1.0,
        "heart" => {
            let (x, y) = (1.2 * x, -1.2 * y + 0.1);
            (x * x + y * y - 1.0).powi(3) < x * x * y.powi(3)
        }
        "moon" => r < 1.0 && (x - 0.5).hypot(y) > 0.8,
        "hexagon" => x.abs() < 0.86 && 0.5 * x.abs() + 0.866 * y.abs() < 0.86,
        _ => x.abs() < 1.0 && y.abs() < 0.28,
    }
}

/// Draws a shape with a little shading, four samples a pixel.
fn draw(noun: &str, rgb: [u8; 3]) -> Option<Sprite> {
    let picture = RgbaImage::from_fn(SIDE, SIDE, |px, py| {
        let at = |p: u32, offset: f32| (p as f32 + offset) / SIDE as f32 * 2.1 - 1.05;
        let corners = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];
        let hits = corners
            .iter()
            .filter(|(dx, dy)| inside(noun, at(px, *dx), at(py, *dy)))
            .count();
        let shade = 1.08 - 0.25 * (px + py) as f32 / (2 * SIDE) as f32;
        let [r, g, b] = rgb.map(|c| (f32::from(c) * shade) as u8);
        Rgba([r, g, b, (hits * 255 / 4) as u8])
    });
    Sprite::from_rgba(&picture)
}

/// One second of sound; pitch, rhythm and overtones differ from shape to shape.
fn tone(index: usize) -> Vec<f32> {
    let pitch = 180.0 * 1.32f32.powi(index as i32);
    let beat = 2.0 + (index * 3 % 7) as f32;
    let bright = (index % 3) as f32 / 3.0;
    (0..SAMPLE_RATE)
        .map(|i| {
            let t = i as f32 / SAMPLE_RATE as f32;
            let gate = (1.0 - (t * beat).fract()).powi(2);
            let wave = (TAU * pitch * t).sin() + bright * (TAU * 2.01 * pitch * t).sin();
            0.4 * gate * wave / (1.0 + bright)
        })
        .collect()
}
