//! Conversion of the command line's references to the model's references.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use anyref_audio::{AudioPreprocessorConfig, Waveform};
use anyref_core::{Prompt, Reference, ReferenceImage, next_placeholder};
use anyref_vision::preprocess::{open_image, open_mask};
use image::RgbImage;

use crate::args::ReferenceArgument;

/// Reads the files of every reference.
pub fn read_all(arguments: &[ReferenceArgument]) -> Result<Vec<Reference>> {
    arguments.iter().map(read).collect()
}

/// Reads the file of one reference.
pub fn read(argument: &ReferenceArgument) -> Result<Reference> {
    Ok(match argument {
        ReferenceArgument::Text(phrase) => Reference::Text(phrase.clone()),
        ReferenceArgument::Box(corners) => Reference::Box(parse_box(corners)?),
        ReferenceArgument::Region(path) => {
            let name = || format!("region {}", path.display());
            Reference::of_mask(&open_mask(path)?).with_context(name)?
        }
        ReferenceArgument::Audio(path) => Reference::Audio(Waveform::open(path)?),
        ReferenceArgument::Image { path, region, mask } => {
            let image = open_image(path)?;
            let name = || format!("reference picture {}", path.display());
            Reference::Image(match (region, mask) {
                (Some(corners), _) => {
                    ReferenceImage::cropped(&image, parse_box(corners)?).with_context(name)?
                }
                (None, Some(mask)) => {
                    let file = mask.display();
                    let mask = open_mask(mask)?;
                    if mask.pixels().all(|pixel| pixel[0] < 128) {
                        bail!("reference mask {file} is black all over: paint the object white");
                    }
                    ReferenceImage::masked(&image, &mask)
                        .with_context(|| format!("reference mask {file}"))
                        .with_context(name)?
                }
                (None, None) => ReferenceImage::new(image),
            })
        }
    })
}

/// Parses `x0,y0,x1,y1`; [`check_boxes`] compares it with the picture.
pub fn parse_box(text: &str) -> Result<[f32; 4]> {
    let problem = |what: &str| {
        anyhow!("box {text:?} {what}: give x0,y0,x1,y1 in pixels, x0 < x1 and y0 < y1")
    };
    let numbers = text
        .split(',')
        .map(|number| number.trim().parse::<f32>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| problem("is not four numbers"))?;
    let corners: [f32; 4] = numbers
        .try_into()
        .map_err(|_| problem("is not four numbers"))?;
    if !corners.iter().all(|corner| corner.is_finite()) {
        return Err(problem("has a number that is not finite"));
    }
    if corners[0] >= corners[2] || corners[1] >= corners[3] {
        return Err(problem("is empty or inverted"));
    }
    Ok(corners)
}

/// Refuses boxes and masks that do not fit the picture, by its file.
pub fn check_boxes(references: &[Reference], file: &Path, image: &RgbImage) -> Result<()> {
    for reference in references {
        reference
            .fits(image.dimensions())
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Refuses sounds that are silent for the model, naming their files. Without `hearing`, nothing is
/// refused.
pub fn check_sounds(
    hearing: Option<&AudioPreprocessorConfig>,
    arguments: &[ReferenceArgument],
    references: &[Reference],
) -> Result<()> {
    let Some(hearing) = hearing else {
        return Ok(());
    };
    for (argument, reference) in arguments.iter().zip(references) {
        if let (ReferenceArgument::Audio(path), Reference::Audio(sound)) = (argument, reference) {
            hearing
                .check_sound(sound)
                .with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Question for people, with words for the references.
pub fn readable(prompt: &Prompt) -> String {
    let words: Vec<String> = prompt.references.iter().map(in_words).collect();
    let Some(question) = &prompt.question else {
        return words.join(" and ");
    };
    let (mut text, mut rest) = (String::new(), question.as_str());
    while let Some((before, number, after)) = next_placeholder(rest) {
        let placeholder = &rest[before.len()..rest.len() - after.len()];
        let reference = number.checked_sub(1).and_then(|index| words.get(index));
        text += before;
        text += reference.map_or(placeholder, String::as_str);
        rest = after;
    }
    text + rest
}

/// Reference in words.
fn in_words(reference: &Reference) -> String {
    match reference {
        Reference::Text(phrase) => phrase.clone(),
        Reference::Box([x0, y0, x1, y1]) => format!("[box {x0:.0},{y0:.0},{x1:.0},{y1:.0}]"),
        Reference::Mask(_) => "[region]".into(),
        Reference::Image(_) => "[picture]".into(),
        Reference::Audio(_) => "[sound]".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_four_finite_numbers_in_order() {
        assert_eq!(parse_box("1, 2.5,30,40").unwrap(), [1.0, 2.5, 30.0, 40.0]);
        for bad in [
            "",
            "1,2,3",
            "1,2,3,4,5",
            "a,2,3,4",
            "nan,2,3,4",
            "1,2,inf,4",
            "5,2,3,4",
            "1,2,1,4",
        ] {
            let message = parse_box(bad).unwrap_err().to_string();
            assert!(
                message.contains("x0,y0,x1,y1") && !message.contains('\n'),
                "{message}"
            );
        }
    }

    #[test]
    fn questions_are_read_with_their_references() {
        let prompt = Prompt::new([
            Reference::Text("a dog".into()),
            Reference::Box([1.0, 2.0, 3.0, 4.0]),
        ])
        .with_question("Is {1} left of {2}?");
        assert_eq!(readable(&prompt), "Is a dog left of [box 1,2,3,4]?");
        let spaced = prompt
            .clone()
            .with_question("{ 2 }, {02}, {x}, { 1 } and {3}");
        assert_eq!(
            readable(&spaced),
            "[box 1,2,3,4], [box 1,2,3,4], {x}, a dog and {3}"
        );
        let usual = Prompt::new(prompt.references);
        assert_eq!(readable(&usual), "a dog and [box 1,2,3,4]");
    }

    #[test]
    fn phrases_are_read_as_they_are() {
        let prompt = Prompt::new([
            Reference::Text("a sign with {2}".into()),
            Reference::Text("a dog".into()),
        ])
        .with_question("{1} beside {2}");
        assert_eq!(readable(&prompt), "a sign with {2} beside a dog");
    }
}
