//! Text in pictures.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage};

/// Noto Sans with the letters of Latin scripts.
static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../assets/font/NotoSans-Regular-Latin.ttf"))
        .expect("the bundled font is whole")
});

/// Glyphs of a line with their distances from its start, and its width, in pixels. A character that
/// the font lacks is shown as a question mark.
fn set(line: &str, height: f32) -> (Vec<(GlyphId, f32)>, f32) {
    let font = FONT.as_scaled(PxScale::from(height));
    let mut at = 0.0;
    let mut last = None;
    let glyphs = line.chars().map(|letter| {
        let glyph = match font.glyph_id(letter) {
            GlyphId(0) => font.glyph_id('?'),
            glyph => glyph,
        };
        at += last.map_or(0.0, |last| font.kern(last, glyph));
        let start = at;
        at += font.h_advance(glyph);
        last = Some(glyph);
        (glyph, start)
    });
    (glyphs.collect(), at)
}

/// Width of a line of this height, in pixels.
pub fn width(line: &str, height: f32) -> f32 {
    set(line, height).1
}

/// Draws a line of this height whose upper left corner is at `[x, y]`, all in pixels.
pub fn write(picture: &mut RgbImage, [x, y]: [u32; 2], height: f32, line: &str, colour: Rgb<u8>) {
    let scale = PxScale::from(height);
    let base = y as f32 + FONT.as_scaled(scale).ascent();
    for (glyph, start) in set(line, height).0 {
        let glyph = glyph.with_scale_and_position(scale, point(x as f32 + start, base));
        let Some(outline) = FONT.outline_glyph(glyph) else {
            continue;
        };
        let corner = outline.px_bounds().min;
        outline.draw(|dx, dy, cover| {
            let (column, row) = (
                corner.x as i64 + i64::from(dx),
                corner.y as i64 + i64::from(dy),
            );
            let at = (u32::try_from(column), u32::try_from(row));
            let (Ok(column), Ok(row)) = at else {
                return;
            };
            if let Some(pixel) = picture.get_pixel_mut_checked(column, row) {
                let cover = cover.clamp(0.0, 1.0);
                for (value, ink) in pixel.0.iter_mut().zip(colour.0) {
                    *value = (f32::from(*value) * (1.0 - cover) + f32::from(ink) * cover) as u8;
                }
            }
        });
    }
}

/// Breaks text between words into lines no wider than `limit`, and longer words where necessary;
/// `width` measures a line.
pub fn wrapped(text: &str, limit: f32, width: impl Fn(&str) -> f32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            let longer = format!("{line} {word}");
            if width(&longer) <= limit {
                *line = longer;
                continue;
            }
        }
        let mut part = String::new();
        for letter in word.chars() {
            part.push(letter);
            if width(&part) > limit && part.chars().count() > 1 {
                part.pop();
                lines.push(std::mem::replace(&mut part, letter.to_string()));
            }
        }
        lines.push(part);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_where_they_fit() {
        let wrapped = |text, columns| wrapped(text, columns, |line| line.chars().count() as f32);
        assert_eq!(
            wrapped("the dog on the left", 8.0),
            ["the dog", "on the", "left"]
        );
        assert_eq!(wrapped("abcdefghij kl", 4.0), ["abcd", "efgh", "ij", "kl"]);
        assert!(wrapped("  ", 4.0).is_empty());
    }

    #[test]
    fn letters_are_narrow_or_wide_and_unknown_ones_are_question_marks() {
        assert!(width("iii", 20.0) < width("www", 20.0));
        assert!(width("é", 20.0) == width("e", 20.0));
        assert_eq!(width("\u{4e00}", 20.0), width("?", 20.0));
    }

    #[test]
    fn ink_stays_within_the_line() {
        let (mut picture, colour) = (RgbImage::new(60, 40), Rgb([255, 200, 100]));
        write(&mut picture, [10, 10], 20.0, "gÅ", colour);
        let mut inked = picture
            .enumerate_pixels()
            .filter(|(.., pixel)| pixel.0 != [0; 3]);
        assert!(inked.clone().any(|(.., pixel)| *pixel == colour));
        assert!(inked.all(|(x, y, _)| (10..40).contains(&x) && (10..30).contains(&y)));
        // Text outside of the picture is clipped.
        write(&mut picture, [55, 35], 20.0, "outside", colour);
    }
}
