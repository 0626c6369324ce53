//! Asks SAM alone for masks: by a box, by points, by a mask to refine.
//!
//! ```sh
//! cargo run --release -p anyref-core --example sam_prompts
//! cargo run --release -p anyref-core --example sam_prompts -- PICTURE X,Y SAM
//! ```
//!
//! `SAM` is the authors' `sam_vit_*.pth` or `sam2*.pt`, or a folder of transformers'. Without it
//! the SAM in the shipped model answers.

use std::path::Path;

use anyhow::{Context, Result};
use anyref_core::{AnyRef, MaskPrediction, MaskPrompt, Multimask, SamModel};
use anyref_vision::preprocess::open_image;
use burn::backend::Flex;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = Default::default();
    if let [picture, point, sam] = arguments.as_slice() {
        let (x, y) = point.split_once(',').context("give the point as X,Y")?;
        let sam = SamModel::<Flex>::load(Path::new(sam), &device)?;
        let picture = sam.picture(&open_image(picture)?)?;
        let prompt = MaskPrompt::default().with_point(x.parse()?, y.parse()?, true);
        let answers = sam.predict(&picture, &[prompt], Multimask::WhereAmbiguous)?;
        show("point", &answers[0]);
        return Ok(());
    }

    let anyref = AnyRef::<Flex>::load(Path::new("assets/nano"), &device)?;
    let sam = anyref.sam().context("assets/nano makes no masks")?;
    let picture = sam.picture(&open_image("assets/demo/scene1.jpg")?)?;

    // Prompts of one call are answered together, each as if it were alone.
    let prompts = [
        MaskPrompt::default().with_region([108.4, 52.4, 204.9, 171.0]),
        MaskPrompt::default().with_point(150.0, 100.0, true),
        MaskPrompt::default()
            .with_point(150.0, 100.0, true)
            .with_point(40.0, 220.0, false),
    ];
    let answers = sam.predict(&picture, &prompts, Multimask::WhereAmbiguous)?;
    for (kind, answer) in ["box", "point", "two points"].iter().zip(&answers) {
        show(kind, answer);
    }

    // The logits of an answer and one more point make a better mask.
    let refined = MaskPrompt::default()
        .with_mask(answers[1].best().low_res.clone())
        .with_point(150.0, 100.0, true)
        .with_point(190.0, 150.0, true);
    let answers = sam.predict(&picture, &[refined], Multimask::Never)?;
    show("refined", &answers[0]);
    Ok(())
}

fn show(kind: &str, prediction: &MaskPrediction) {
    for candidate in &prediction.candidates {
        let [x0, y0, x1, y1] = candidate.mask.bounding_box();
        let (area, estimate) = (candidate.mask.area(), candidate.estimate);
        println!("{kind}: {area} pixels in {x0},{y0},{x1},{y1}, estimated IoU {estimate:.2}");
    }
}
