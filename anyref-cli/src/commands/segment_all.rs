//! `anyref segment --out DIR`: one question about many pictures.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use anyref_core::{Answer, Engine, Mask, Prompt};
use anyref_decoder::rle::Rle;
use anyref_eval::Records;
use anyref_vision::preprocess::open_image;
use anyref_weights::write_atomic;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::args::{Common, ReferenceArgument, SegmentArguments};
use crate::coco::CocoDocument;
use crate::output::{self, cannot_write, located, numbered, say};
use crate::overlay::Overlay;
use crate::{failure, model, pictures, prompt};

/// File of all masks, in COCO's format.
const MASKS: &str = "masks.json";
/// File of the answers, one a line, from which a run resumes.
const ANSWERS: &str = "answers.jsonl";
/// File of the question and the model, which may not change when a run is resumed.
const ASKED: &str = "asked.json";
/// Number of skipped pictures named at the end.
const NAMED: usize = 3;

/// Record of an answered picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    image: String,
    /// Fingerprint of the file: a changed picture is asked about again.
    state: String,
    width: u32,
    height: u32,
    text: String,
    masks: Vec<RecordedMask>,
    /// Number of masks left out because of their low estimated IoU.
    left_out: usize,
    /// File name of the picture with its masks drawn over it.
    overlay: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RecordedMask {
    #[serde(flatten)]
    rle: Rle,
    score: f32,
}

/// Question and model of a folder of answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    question: String,
    settings: String,
}

/// Summary of a run, the line of `--json`.
#[derive(Debug, Serialize)]
struct Summary {
    out: PathBuf,
    pictures: usize,
    answered: usize,
    answered_before: usize,
    masks: usize,
    passed_over: Vec<PassedOver>,
}

#[derive(Debug, Serialize)]
struct PassedOver {
    image: String,
    reason: String,
}

/// Asks about every picture that no earlier run answered. A picture that cannot be read or asked
/// about is named and skipped, and makes the run fail at its end.
pub fn run(common: &Common, arguments: &SegmentArguments) -> Result<()> {
    let found = pictures::find(&arguments.images)?;
    if arguments.clicks.given() {
        bail!(
            "--point, --refine and --multimask are about one picture, and {} are {}",
            described(&arguments.images),
            found.len()
        );
    }
    let Some(out) = &arguments.out else {
        bail!(
            "{} are {} pictures: give a folder for their masks by --out DIR",
            described(&arguments.images),
            found.len()
        );
    };
    check_apart(out, &found)?;
    let written = &arguments.references.0;
    let question = Prompt {
        question: arguments.prompt.clone(),
        references: prompt::read_all(written)?,
    };
    question.segmentation()?;
    prompt::check_sounds(
        model::hearing(common).as_ref(),
        written,
        &question.references,
    )?;
    fs::create_dir_all(out).with_context(|| cannot_write(out))?;
    let words = prompt::readable(&question);
    check_asked(out, &words, common, written)?;
    let (records, before) = Records::open(&out.join(ANSWERS))?;
    let mut run = Run {
        out,
        question,
        words,
        records,
        answers: Vec::new(),
        places: HashMap::new(),
        overlays: HashSet::new(),
    };
    before.into_iter().for_each(|record| run.keep(record));
    let summary = run.ask(common, arguments, &found)?;
    run.write_masks()?;
    end(arguments, &summary)
}

/// Number of masks in words.
fn counted(masks: usize) -> String {
    match masks {
        1 => "1 mask".to_owned(),
        count => format!("{count} masks"),
    }
}

/// Prints the summary, and fails if pictures were skipped.
fn end(arguments: &SegmentArguments, summary: &Summary) -> Result<()> {
    if arguments.output.json {
        say(&serde_json::to_string(summary)?)?;
    } else {
        let before = match summary.answered_before {
            0 => String::new(),
            count => format!(" ({count} answered before)"),
        };
        say(&format!(
            "{} of {} pictures answered{before}, {} -> {}",
            summary.answered + summary.answered_before,
            summary.pictures,
            counted(summary.masks),
            summary.out.join(MASKS).display()
        ))?;
    }
    let passed = &summary.passed_over;
    if passed.is_empty() {
        return Ok(());
    }
    let names = passed.iter().take(NAMED).map(|one| one.image.as_str());
    let names = names.collect::<Vec<_>>().join(", ");
    let more = match passed.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    bail!(
        "{} of {} pictures passed over: {names}{more}; mend or leave them out and run it again, it goes on",
        passed.len(),
        summary.pictures
    )
}

/// Run over several pictures.
struct Run<'a> {
    out: &'a Path,
    question: Prompt,
    words: String,
    records: Records,
    /// Answered pictures, of this run and earlier ones, in the order of the answers.
    answers: Vec<Record>,
    /// Index of each picture's answer.
    places: HashMap<String, usize>,
    /// Names of existing overlays.
    overlays: HashSet<String>,
}

impl Run<'_> {
    /// Adds an answered picture, or replaces its earlier answer.
    fn keep(&mut self, record: Record) {
        self.overlays.insert(record.overlay.clone());
        match self.places.get(&record.image) {
            Some(&place) => self.answers[place] = record,
            None => {
                self.places.insert(record.image.clone(), self.answers.len());
                self.answers.push(record);
            }
        }
    }

    /// Answer to a picture whose file is unchanged.
    fn kept(&self, image: &str, state: &str) -> Option<&Record> {
        let record = &self.answers[*self.places.get(image)?];
        let drawn = self.out.join(&record.overlay).is_file();
        (record.state == state && drawn).then_some(record)
    }

    fn ask(
        &mut self,
        common: &Common,
        arguments: &SegmentArguments,
        found: &[PathBuf],
    ) -> Result<Summary> {
        let mut summary = Summary {
            out: self.out.to_owned(),
            pictures: found.len(),
            answered: 0,
            answered_before: 0,
            masks: 0,
            passed_over: Vec::new(),
        };
        let bar = bar(found.len());
        let mut engine = None;
        for path in found {
            bar.set_message(path.display().to_string());
            let image = path.to_string_lossy().into_owned();
            // A missing file is skipped when it is read.
            let state = model::state(std::slice::from_ref(path)).unwrap_or_default();
            let state = format!("{state:016x}");
            if let Some(record) = self.kept(&image, &state) {
                summary.answered_before += 1;
                summary.masks += record.masks.len();
                bar.inc(1);
                continue;
            }
            match self.read(path) {
                Err(error) => self.pass_over(&bar, &mut summary, image, &error),
                Ok(pixels) => {
                    let engine = match &engine {
                        Some(engine) => engine,
                        None => engine.insert(self.engine(common, arguments)?),
                    };
                    match self.answer(&**engine, &pixels) {
                        Err(error) if error.refuses_question() => {
                            self.pass_over(&bar, &mut summary, image, &error.into());
                        }
                        Err(error) => return Err(error.into()),
                        Ok(answer) => {
                            let record = self.record(image, state, &pixels, &answer)?;
                            summary.answered += 1;
                            summary.masks += record.masks.len();
                            for bridge in &answer.bridges {
                                bar.suspend(|| eprintln!("{}: {bridge}", record.image));
                            }
                            if !arguments.output.json {
                                let line = self.line(&record);
                                bar.suspend(|| say(&line))?;
                            }
                            self.records.add(&record)?;
                            self.keep(record);
                        }
                    }
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(summary)
    }

    fn engine(&self, common: &Common, arguments: &SegmentArguments) -> Result<Box<dyn Engine>> {
        let engine = model::engine(common)?;
        if !engine.info().makes_masks() {
            return Err(anyref_core::Error::NoMasks.into());
        }
        let written = &arguments.references.0;
        prompt::check_sounds(
            engine.info().audio.as_ref(),
            written,
            &self.question.references,
        )?;
        Ok(engine)
    }

    fn read(&self, path: &Path) -> Result<RgbImage> {
        let image = open_image(path)?;
        prompt::check_boxes(&self.question.references, path, &image)?;
        Ok(image)
    }

    fn answer(&self, engine: &dyn Engine, image: &RgbImage) -> anyref_core::Result<Answer> {
        let picture = engine.encode(image)?;
        engine.segment(&picture, &self.question)
    }

    /// Draws the overlay of an answer, and builds its record.
    fn record(
        &self,
        image: String,
        state: String,
        pixels: &RgbImage,
        answer: &Answer,
    ) -> Result<Record> {
        let overlay = match self.places.get(&image) {
            Some(&place) => self.answers[place].overlay.clone(),
            None => self.overlay_name(Path::new(&image)),
        };
        let drawn = Overlay {
            masks: &answer.masks,
            references: &self.question.references,
            points: &[],
            question: &self.words,
            answer: &answer.text,
        };
        output::write_picture(&drawn.draw(pixels), &self.out.join(&overlay))?;
        let mask = |mask: &Mask| RecordedMask {
            rle: mask.rle.clone(),
            score: mask.score,
        };
        Ok(Record {
            image,
            state,
            width: pixels.width(),
            height: pixels.height(),
            text: answer.text.clone(),
            masks: answer.masks.iter().map(mask).collect(),
            left_out: answer.doubtful,
            overlay,
        })
    }

    /// Name of the overlay: `photos/cup.jpg` → `cup.png`, or `cup_2.png` if that is taken.
    fn overlay_name(&self, image: &Path) -> String {
        let stem = image.file_stem().unwrap_or_default().to_string_lossy();
        let plain = PathBuf::from(format!("{stem}.png"));
        let names = (1..).map(|number| match number {
            1 => plain.clone(),
            number => numbered(&plain, number),
        });
        let mut names = names.map(|name| name.display().to_string());
        let free = names.find(|name| !self.overlays.contains(name));
        free.expect("a number that is not taken")
    }

    /// Line about an answered picture.
    fn line(&self, record: &Record) -> String {
        let masks = match record.masks.len() {
            0 => "no mask".to_owned(),
            count => counted(count),
        };
        let overlay = self.out.join(&record.overlay);
        format!(
            "{}: {} {masks} -> {}",
            record.image,
            record.text,
            overlay.display()
        )
    }

    fn pass_over(
        &self,
        bar: &ProgressBar,
        summary: &mut Summary,
        image: String,
        error: &anyhow::Error,
    ) {
        let reason = failure::one_line(error);
        bar.suspend(|| eprintln!("passed over: {reason}"));
        summary.passed_over.push(PassedOver { image, reason });
    }

    /// Writes the masks of all answered pictures, of earlier runs too.
    fn write_masks(&self) -> Result<()> {
        let mut document = CocoDocument::default();
        for record in &self.answers {
            let image = document.add_image(&record.image, (record.width, record.height));
            for RecordedMask { rle, score } in &record.masks {
                let mask = Mask {
                    rle: rle.clone(),
                    score: *score,
                    words: None,
                    low_res: None,
                };
                document.add_mask(image, &self.words, &mask);
            }
        }
        document.write(&self.out.join(MASKS))
    }
}

fn bar(length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} left {eta_precise} {msg}");
    ProgressBar::new(length as u64).with_style(style.expect("a valid template"))
}

/// Refuses a folder in which overlays would lie among the pictures, or replace them.
fn check_apart(out: &Path, pictures: &[PathBuf]) -> Result<()> {
    if out.exists() && !out.is_dir() {
        bail!(
            "cannot write to {}: it is no folder, give another --out",
            out.display()
        );
    }
    let folder = located(out);
    match pictures
        .iter()
        .find(|picture| located(picture).parent() == Some(&folder))
    {
        Some(picture) => bail!(
            "cannot write to {}: {} is read from it, give another --out",
            out.display(),
            picture.display()
        ),
        None => Ok(()),
    }
}

/// Records the question and the model, or refuses them if they differ from the folder's.
fn check_asked(
    out: &Path,
    question: &str,
    common: &Common,
    references: &[ReferenceArgument],
) -> Result<()> {
    let files: Vec<PathBuf> = references
        .iter()
        .flat_map(ReferenceArgument::files)
        .map(Path::to_owned)
        .collect();
    let references = format!("{references:?} ({:016x})", model::state(&files)?);
    let asked = Asked {
        question: question.to_owned(),
        settings: format!("{references}, by {}", model::settings(common)?),
    };
    let file = out.join(ASKED);
    match fs::read(&file) {
        Err(_) => {
            let json = serde_json::to_string_pretty(&asked)? + "\n";
            write_atomic(&file, json).with_context(|| cannot_write(&file))
        }
        Ok(json) => match serde_json::from_slice::<Asked>(&json) {
            Ok(before) if before == asked => Ok(()),
            Ok(before) if before.question != asked.question => bail!(
                "{} has answers to {:?} and not to {question:?}: give another --out",
                out.display(),
                before.question
            ),
            _ => bail!(
                "{} has answers of another model, of other options or with other references: give another --out",
                out.display()
            ),
        },
    }
}

/// Arguments of `--image` on one line.
fn described(given: &[PathBuf]) -> String {
    match given {
        [one] => one.display().to_string(),
        [first, ..] => format!("{} and {} more", first.display(), given.len() - 1),
        [] => "none".to_owned(),
    }
}
