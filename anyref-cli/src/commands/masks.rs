//! `anyref masks`: every mask of a picture.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use anyref_core::{AutomaticMask, AutomaticMaskConfig, Mask};
use anyref_vision::preprocess::open_image;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::{Common, MasksArguments};
use crate::coco::{AutomaticFields, CocoDocument};
use crate::model;
use crate::output::{self, MaskDocument, Run};
use crate::overlay::Overlay;

/// Content of the line of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    model: &'a str,
    backend: String,
    masks: Vec<Found>,
    timing_ms: Times,
}

#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    mask: MaskDocument,
    #[serde(flatten)]
    fields: AutomaticFields,
}

#[derive(Serialize)]
struct Times {
    load: f64,
    total: f64,
}

/// Runs the command.
pub fn run(common: &Common, arguments: &MasksArguments) -> Result<()> {
    let start = Instant::now();
    check(arguments)?;
    // Invalid settings are reported before a model is loaded.
    arguments.config(&AutomaticMaskConfig::new()).validate()?;
    let image = open_image(&arguments.image)?;
    let engine = model::engine(common)?;
    let config = arguments.config(&engine.automatic_defaults());
    let bar = bar();
    let mut found = engine.automatic_masks(&image, &config, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if let Some(limit) = common.min_score {
        found.retain(|one| one.mask.score >= limit);
    }
    let run = Run::new(engine.info(), start);
    let written = match &arguments.out {
        Some(folder) => write(folder, &found)?,
        None => Vec::new(),
    };
    if let Some(path) = &arguments.coco {
        let mut document = CocoDocument::default();
        let file = arguments.image.display().to_string();
        let number = document.add_image(file, image.dimensions());
        for one in &found {
            document.add_automatic(number, &one.mask, one.into());
        }
        document.write(path)?;
    }
    if let Some(path) = &arguments.overlay {
        // Small masks lie over large ones.
        let mut masks: Vec<Mask> = found.iter().map(|one| one.mask.clone()).collect();
        masks.sort_by_key(|mask| std::cmp::Reverse(mask.area()));
        let overlay = Overlay {
            masks: &masks,
            references: &[],
            points: &[],
            question: "",
            answer: &counted(masks.len()),
        };
        output::write_picture(&overlay.draw(&image), path)?;
    }
    if arguments.json {
        return output::say(&serde_json::to_string(&Document {
            model: run.model,
            backend: run.backend.to_string(),
            masks: found.iter().map(Found::from).collect(),
            timing_ms: Times {
                load: output::milliseconds(run.load),
                total: output::milliseconds(run.total),
            },
        })?);
    }
    output::say(&counted(found.len()))?;
    for (index, one) in found.iter().enumerate() {
        let file = written.get(index);
        let file = file.map(|path| format!(" -> {}", path.display()));
        let line = output::mask_line(index + 1, &one.mask);
        output::say(&(line + &file.unwrap_or_default()))?;
    }
    let files = [
        ("COCO JSON", &arguments.coco),
        ("overlay", &arguments.overlay),
    ];
    for (kind, path) in files {
        if let Some(path) = path {
            output::say(&format!("{kind} -> {}", path.display()))?;
        }
    }
    Ok(())
}

/// Refuses outputs that cannot be written or would replace one another or the picture.
fn check(arguments: &MasksArguments) -> Result<()> {
    let image = [&*arguments.image];
    if let Some(path) = &arguments.overlay {
        output::check_writable(path)?;
        output::check_apart(path, &image)?;
    }
    if let Some(path) = &arguments.coco {
        output::check_place(path)?;
        let others = arguments.overlay.iter().map(|path| &**path).chain(image);
        output::check_apart(path, &others.collect::<Vec<_>>())?;
    }
    match &arguments.out {
        Some(folder) if folder.exists() && !folder.is_dir() => bail!(
            "cannot write masks to {}: it is a file, give a folder",
            folder.display()
        ),
        Some(folder) if holds_masks(folder) => bail!(
            "cannot write masks to {}: it holds masks already, give an empty folder",
            folder.display()
        ),
        _ => Ok(()),
    }
}

/// Returns whether a folder has masks of an earlier run.
fn holds_masks(folder: &Path) -> bool {
    mask_file(folder, 1).exists()
}

fn mask_file(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("mask_{number:03}.png"))
}

/// Writes each mask to a folder, which is created. Returns the paths.
fn write(folder: &Path, found: &[AutomaticMask]) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| output::cannot_write(folder))?;
    let write = |(index, one): (usize, &AutomaticMask)| {
        let path = mask_file(folder, index + 1);
        let picture = one.mask.to_image();
        picture
            .save(&path)
            .with_context(|| output::cannot_write(&path))?;
        Ok(path)
    };
    found.iter().enumerate().map(write).collect()
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("points {bar:30} {pos}/{len} left {eta_precise}");
    ProgressBar::new(0).with_style(style.expect("a valid template"))
}

fn counted(masks: usize) -> String {
    match masks {
        0 => "no mask is stable enough (see --stability-score-thresh and --pred-iou-thresh)".into(),
        1 => "1 mask".into(),
        masks => format!("{masks} masks"),
    }
}

impl From<&AutomaticMask> for AutomaticFields {
    fn from(found: &AutomaticMask) -> Self {
        let [x0, y0, x1, y1] = found.crop_box;
        Self {
            predicted_iou: found.predicted_iou,
            stability_score: found.stability_score,
            point_coords: [found.point],
            crop_box: [x0, y0, x1 - x0, y1 - y0],
        }
    }
}

impl From<&AutomaticMask> for Found {
    fn from(found: &AutomaticMask) -> Self {
        Self {
            mask: MaskDocument::new(&found.mask),
            fields: found.into(),
        }
    }
}
