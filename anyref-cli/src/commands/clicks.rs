//! Masks by SAM's own prompts: points, a box and an earlier mask, without the language model.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use anyref_core::{
    Answer, Engine, MaskCandidate, MaskPrompt, Multimask, Point, Prompt, Reference, Timing,
};
use anyref_decoder::rle::Rle;
use anyref_vision::preprocess::{open_image, open_mask};
use image::RgbImage;

use super::outcome::{Outcome, check_outputs, show};
use crate::args::{Common, PointArguments, ReferenceArgument, SegmentArguments};
use crate::output::Run;
use crate::{model, prompt};

/// Runs `anyref segment` with clicks.
pub fn run(common: &Common, arguments: &SegmentArguments, path: &Path) -> Result<()> {
    let start = Instant::now();
    let clicks = &arguments.clicks;
    let inputs = clicks.refine.iter().map(|path| &**path);
    let inputs: Vec<&Path> = inputs.chain([path]).collect();
    check_outputs(&arguments.output, &inputs)?;
    if arguments.prompt.is_some() || arguments.explain.is_some() {
        bail!("--point, --refine and --multimask ask SAM alone: leave --prompt and --explain out");
    }
    if arguments.out.is_some() {
        bail!("--out is for many pictures, which clicks are not about: use --mask and --overlay");
    }
    let boxes = boxes(&arguments.references.0)?;
    let prompts = prompts(clicks, &boxes)?;
    let image = open_image(path)?;
    check(&prompts, path, &image)?;
    let engine = model::engine(common)?;
    let asked = Asked {
        path,
        image: &image,
        prompts: &prompts,
        start,
    };
    answer(common, arguments, &*engine, asked)
}

/// Predicts masks of boxes by a model that is a SAM alone.
pub fn boxes_alone(
    common: &Common,
    arguments: &SegmentArguments,
    engine: &dyn Engine,
    (path, image): (&Path, &RgbImage),
    start: Instant,
) -> Result<()> {
    if arguments.prompt.is_some() || arguments.explain.is_some() {
        return Err(anyref_core::Error::NoLanguageModel.into());
    }
    let Ok(boxes) = boxes(&arguments.references.0) else {
        return Err(anyref_core::Error::NoLanguageModel.into());
    };
    let prompts = prompts(&arguments.clicks, &boxes)?;
    check(&prompts, path, image)?;
    let asked = Asked {
        path,
        image,
        prompts: &prompts,
        start,
    };
    answer(common, arguments, engine, asked)
}

/// Boxes of the references; other references are an error.
fn boxes(references: &[ReferenceArgument]) -> Result<Vec<[f32; 4]>> {
    let region = |reference: &ReferenceArgument| match reference {
        ReferenceArgument::Box(corners) => prompt::parse_box(corners),
        _ => bail!(
            "--point, --refine and --multimask ask SAM alone, which takes a --box beside them and \
             nothing else"
        ),
    };
    references.iter().map(region).collect()
}

/// One prompt of points, mask and box together, or one a box if there are only boxes.
fn prompts(clicks: &PointArguments, boxes: &[[f32; 4]]) -> Result<Vec<MaskPrompt>> {
    let mut prompt = MaskPrompt::default();
    for text in &clicks.points {
        prompt.points.push(parse_point(text)?);
    }
    if let Some(path) = &clicks.refine {
        prompt = prompt.with_mask(earlier(path)?);
    }
    let joined = !prompt.points.is_empty() || prompt.mask.is_some();
    match boxes {
        [_, _, ..] if joined => bail!("{} boxes beside --point or --refine: give one", boxes.len()),
        [] => Ok(vec![prompt]),
        boxes => Ok(boxes
            .iter()
            .map(|&region| prompt.clone().with_region(region))
            .collect()),
    }
}

/// Parses `x,y`, on the object, or `x,y,0`, off it.
pub fn parse_point(text: &str) -> Result<Point> {
    let problem =
        || anyhow!("point {text:?} is not x,y in pixels: give it so, or x,y,0 off the object");
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (x, y, on) = match parts[..] {
        [x, y] | [x, y, "1"] => (x, y, true),
        [x, y, "0"] => (x, y, false),
        _ => return Err(problem()),
    };
    let number = |text: &str| text.parse::<f32>().map_err(|_| problem());
    Ok(Point {
        x: number(x)?,
        y: number(y)?,
        on,
    })
}

/// Reads a mask to refine.
fn earlier(path: &Path) -> Result<Rle> {
    let mask = open_mask(path)?;
    let pixels: Vec<bool> = mask.pixels().map(|pixel| pixel[0] >= 128).collect();
    let size = [mask.height() as usize, mask.width() as usize];
    Rle::from_mask(&pixels, size).with_context(|| path.display().to_string())
}

/// Refuses prompts that do not fit the picture, by its file.
fn check(prompts: &[MaskPrompt], file: &Path, image: &RgbImage) -> Result<()> {
    for prompt in prompts {
        prompt
            .fits(image.dimensions())
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// Prompts about a picture, with the start time of the command.
struct Asked<'a> {
    path: &'a Path,
    image: &'a RgbImage,
    prompts: &'a [MaskPrompt],
    start: Instant,
}

/// Predicts the masks and shows them.
fn answer(
    common: &Common,
    arguments: &SegmentArguments,
    engine: &dyn Engine,
    asked: Asked<'_>,
) -> Result<()> {
    let Asked {
        path,
        image,
        prompts,
        start,
    } = asked;
    if !engine.info().makes_masks() {
        return Err(anyref_core::Error::NoMasks.into());
    }
    let picture = engine.encode(image)?;
    let decoding = Instant::now();
    let multimask = match arguments.clicks.multimask {
        true => Multimask::Always,
        false => Multimask::WhereAmbiguous,
    };
    let predictions = engine.prompt_masks(&picture, prompts, multimask)?;
    let mut answer = Answer::default();
    for prediction in predictions {
        let mut candidates: Vec<&MaskCandidate> = match arguments.clicks.multimask {
            true => prediction.candidates.iter().collect(),
            false => vec![prediction.best()],
        };
        candidates.sort_by(|one, other| other.estimate.total_cmp(&one.estimate));
        answer
            .masks
            .extend(candidates.into_iter().map(|one| one.mask.clone()));
    }
    let found = answer.masks.len();
    let limit = common.min_score.unwrap_or(0.0);
    answer.masks.retain(|mask| mask.score >= limit);
    answer.doubtful = found - answer.masks.len();
    answer.timing = Timing {
        image: picture.encoding_time(),
        decode: decoding.elapsed(),
        ..Timing::default()
    };
    let points: Vec<Point> = prompts.iter().flat_map(|one| one.points.clone()).collect();
    let outcome = Outcome {
        path,
        image,
        prompt: &in_words(prompts),
        points: &points,
        answer: &answer,
        wants_masks: true,
        speaks: false,
    };
    show(
        common,
        &arguments.output,
        &outcome,
        Run::new(engine.info(), start),
    )
}

/// Question for overlays that stands for the prompts.
fn in_words(prompts: &[MaskPrompt]) -> Prompt {
    let regions = prompts.iter().filter_map(|prompt| prompt.region);
    let references: Vec<Reference> = regions.map(Reference::Box).collect();
    let points = prompts.iter().flat_map(|prompt| &prompt.points);
    let points = points.map(|Point { x, y, on }| match on {
        true => format!("[point {x:.0},{y:.0}]"),
        false => format!("[not {x:.0},{y:.0}]"),
    });
    let boxes = (1..=references.len()).map(|number| format!("{{{number}}}"));
    let words: Vec<String> = points.chain(boxes).collect();
    Prompt::new(references).with_question(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_two_numbers_and_whether_they_are_on() {
        let point = |x, y, on| Point { x, y, on };
        assert_eq!(parse_point("3,4.5").unwrap(), point(3.0, 4.5, true));
        assert_eq!(parse_point(" 3, 4,1").unwrap(), point(3.0, 4.0, true));
        assert_eq!(parse_point("3,-4,0").unwrap(), point(3.0, -4.0, false));
        for bad in ["", "3", "3,", "3,4,2", "3,4,0,1", "a,4", "3;4"] {
            let message = parse_point(bad).unwrap_err().to_string();
            assert!(
                message.contains("x,y") && !message.contains('\n'),
                "{message}"
            );
        }
    }

    #[test]
    fn clicks_join_one_box_and_boxes_alone_are_prompts_each() {
        let clicks = |points: &[&str]| PointArguments {
            points: points.iter().map(|&point| point.to_owned()).collect(),
            refine: None,
            multimask: false,
        };
        let region = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(prompts(&clicks(&[]), &[region; 3]).unwrap().len(), 3);
        let joined = prompts(&clicks(&["1,2", "3,4,0"]), &[region]).unwrap();
        assert_eq!(joined.len(), 1);
        assert_eq!(joined[0].points.len(), 2);
        assert_eq!(joined[0].region, Some(region));
        assert!(prompts(&clicks(&["1,2"]), &[region; 2]).is_err());
    }

    #[test]
    fn prompts_are_read_as_words() {
        let prompt = MaskPrompt::default()
            .with_point(3.0, 4.0, true)
            .with_point(5.0, 6.0, false)
            .with_region([1.0, 2.0, 3.0, 4.0]);
        assert_eq!(
            prompt::readable(&in_words(&[prompt])),
            "[point 3,4] [not 5,6] [box 1,2,3,4]"
        );
    }
}
