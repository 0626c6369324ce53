//! Segments things in a picture that are named by words, by a sound and by a box.
//!
//! ```sh
//! cargo run --release -p anyref-core --example segment_picture
//! cargo run --release -p anyref-core --example segment_picture -- PICTURE WORDS [MODEL]
//! ```
//!
//! With a `PICTURE`, the mask of the thing that `WORDS` name is written beside it as
//! `PICTURE.mask.png`.

use std::path::Path;

use anyhow::{Context, Result};
use anyref_audio::Waveform;
use anyref_core::{Answer, AnyRef, Prompt, Reference};
use anyref_vision::preprocess::open_image;
use burn::backend::Flex;

const SCENE: &str = "assets/demo/scene1.jpg";
const GORILLA: &str = "assets/demo/scene1-4-1.wav";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = Default::default();
    let model = arguments.get(2).map_or("assets/nano", String::as_str);
    let anyref = AnyRef::<Flex>::load(Path::new(model), &device)?;
    if let [path, words, ..] = arguments.as_slice() {
        return segment_file(&anyref, path, words);
    }

    // A picture is encoded once, whatever is asked about it.
    let picture = anyref.picture(&open_image(SCENE)?)?;
    let questions = [
        ("words", Reference::Text("the gorilla".into())),
        ("sound", Reference::Audio(Waveform::open(GORILLA)?)),
    ];
    for (kind, reference) in questions {
        let answer = anyref.segment(&picture, &Prompt::new([reference]))?;
        show(kind, &answer);
    }
    // A box is described in words.
    let region = Reference::Box([108.4, 52.4, 204.9, 171.0]);
    let answer = anyref.describe(&picture, &Prompt::new([region]))?;
    show("box", &answer);
    Ok(())
}

fn segment_file(anyref: &AnyRef<Flex>, path: &str, words: &str) -> Result<()> {
    let picture = anyref.picture(&open_image(path)?)?;
    let prompt = Prompt::new([Reference::Text(words.into())]);
    let answer = anyref.segment(&picture, &prompt)?;
    show("words", &answer);
    if let Some(mask) = answer.masks.first() {
        let out = format!("{path}.mask.png");
        let written = mask.to_image().save(&out);
        written.with_context(|| format!("cannot write {out}"))?;
        println!("wrote {out}");
    }
    Ok(())
}

fn show(kind: &str, answer: &Answer) {
    println!("{kind}: {}", answer.text);
    for mask in &answer.masks {
        let [x0, y0, x1, y1] = mask.bounding_box();
        let (area, score) = (mask.area(), mask.score);
        println!("  {area} pixels in {x0},{y0},{x1},{y1}, estimated IoU {score:.2}");
    }
}
