//! The page of stamp scenes: cases of each kind to be looked at.

use anyhow::{Context, Result};
use anyref_decoder::rle::Rle;

use super::case::Case;
use super::page::{self, Drawn, LEGEND, Shown, page};
use super::run::EvalOptions;
use super::scene_questions::{question, true_mask};
use anyref_data::scenes::{ReferenceData, Scenes};

/// Writes `cases.md` with `KIND-best.png`, `KIND-median.png` and `KIND-worst.png`.
pub(super) fn write_page(scenes: &Scenes, cases: &[Case], options: &EvalOptions) -> Result<()> {
    let mut text = LEGEND.to_owned();
    for &kind in &options.kinds {
        let own: Vec<&Case> = cases.iter().filter(|case| case.kind == kind).collect();
        if own.is_empty() {
            continue;
        }
        let shown: Vec<Shown> = own
            .iter()
            .map(|case| Shown {
                quality: case.quality(),
                id: case.scene.to_string(),
                reference: case.question.clone(),
                answer: match &case.refused {
                    Some(reason) => format!("refused: {reason}"),
                    None => case.answer.clone(),
                },
                expected: case.expected.clone(),
            })
            .collect();
        let prefix = format!("{}-", kind.name());
        text += &page(&shown, "quality", &options.out, &prefix, |place| {
            draw(scenes, own[place], options)
        })?;
    }
    page::write(&options.out, &text)?;
    Ok(())
}

fn draw(scenes: &Scenes, case: &Case, options: &EvalOptions) -> Result<Drawn> {
    let scene = scenes.scene(case.kind.split(), case.scene);
    let instruction = question(scenes, &scene, case.kind, &options.instructions);
    let instruction = instruction.with_context(|| {
        format!(
            "scene {} of {} has no question",
            case.scene,
            case.kind.name()
        )
    })?;
    let truth = true_mask(&scene, &instruction);
    let truth: Vec<bool> = truth.to_bytes().iter().map(|&byte| byte > 0).collect();
    let (mut example, mut boxes) = (None, Vec::new());
    for reference in &instruction.references {
        match reference {
            ReferenceData::Box(area) => boxes.push(area.map(f64::from)),
            ReferenceData::Image(image) => example = Some(image.clone()),
            ReferenceData::Audio(_) => {}
        }
    }
    Ok(Drawn {
        picture: scene.image,
        example,
        boxes,
        predicted: Rle::from_compressed(&case.counts, case.size)?,
        truth: Rle::from_mask(&truth, case.size)?,
    })
}
