//! Page of stamp scenes with selected cases of each kind.

use anyref_core::Reference;
use anyref_data::scenes::Scenes;
use anyref_decoder::rle::Rle;

use super::case::Case;
use super::error::{Error, Result};
use super::options::EvalOptions;
use super::page::{self, Drawn, LEGEND, Row, page};
use super::scene_questions::{question, true_mask};

/// Writes `cases.md` with `KIND-best.png`, `KIND-median.png` and `KIND-worst.png`.
pub(super) fn write_page(scenes: &Scenes, cases: &[Case], options: &EvalOptions) -> Result<()> {
    let mut text = LEGEND.to_owned();
    for &kind in &options.kinds {
        let own: Vec<&Case> = cases.iter().filter(|case| case.kind == kind).collect();
        if own.is_empty() {
            continue;
        }
        let rows: Vec<Row> = own
            .iter()
            .map(|case| Row {
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
        text += &page(&rows, "quality", &options.out, &prefix, |place| {
            draw(scenes, own[place], options)
        })?;
    }
    page::write(&options.out, &text)?;
    Ok(())
}

fn draw(scenes: &Scenes, case: &Case, options: &EvalOptions) -> Result<Drawn> {
    let scene = scenes.scene(case.kind.split(), case.scene);
    let instruction = question(scenes, &scene, case.kind, &options.instructions);
    let instruction = instruction.ok_or(Error::NoQuestion {
        scene: case.scene,
        kind: case.kind.name(),
    })?;
    let truth = true_mask(&scene, &instruction);
    let (mut example, mut boxes) = (None, Vec::new());
    for reference in &instruction.references {
        match reference {
            Reference::Box(area) => boxes.push(area.map(f64::from)),
            Reference::Image(image) => example = Some(image.image().clone()),
            Reference::Text(_) | Reference::Mask(_) | Reference::Audio(_) => {}
        }
    }
    Ok(Drawn {
        picture: scene.image,
        example,
        boxes,
        predicted: Rle::from_compressed(&case.counts, case.size)?,
        truth: truth.to_rle()?,
    })
}
