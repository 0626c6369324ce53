//! SPICE: similarity of the scene graphs that its program parses from descriptions.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ProgramError;
use super::jar::Jar;
use crate::metrics::caption::tokenizer::Words;

#[derive(Serialize)]
struct Question {
    image_id: usize,
    test: String,
    refs: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    image_id: usize,
    scores: HashMap<String, HashMap<String, Value>>,
}

/// Runs the program on all descriptions at once; NaN where it gives no score.
pub(super) fn ask(path: &Path, samples: &[(Words, Vec<Words>)]) -> Result<Vec<f64>, ProgramError> {
    let jar = Jar {
        path,
        name: "spice-1.0.jar",
        beside: "lib and in it the parser's models, which its get_stanford_models.py fetches,",
    };
    let folder = Folder::new()?;
    let (questions, answers) = (folder.0.join("in.json"), folder.0.join("out.json"));
    let asked: Vec<Question> = samples
        .iter()
        .enumerate()
        .map(|(image_id, (said, references))| Question {
            image_id,
            test: said.join(" "),
            refs: references.iter().map(|words| words.join(" ")).collect(),
        })
        .collect();
    let text = serde_json::to_string(&asked).expect("words are JSON");
    fs::write(&questions, text).map_err(|error| file(&questions, error))?;
    let [input, output] = [&questions, &answers].map(|path| path.to_string_lossy());
    let arguments = [&*input, "-out", &*output, "-subset", "-silent"];
    let mut running = jar.start("-Xmx8G", &arguments)?;
    drop(running.child.stdin.take());
    if let Some(mut output) = running.child.stdout.take() {
        let _ = output.read_to_end(&mut Vec::new());
    }
    match running.child.wait() {
        Ok(status) if status.success() => {}
        Ok(_) => return Err(jar.stopped(&mut running, None)),
        Err(error) => return Err(jar.stopped(&mut running, Some(error))),
    }
    let Ok(text) = fs::read_to_string(&answers) else {
        return Err(jar.stopped(&mut running, None));
    };
    let answered: Vec<Answer> =
        serde_json::from_str(&text).map_err(|_| jar.answered(text.trim()))?;
    let score = |answer: &Answer| {
        let f = answer.scores.get("All")?.get("f")?;
        Some((answer.image_id, f.as_f64().unwrap_or(f64::NAN)))
    };
    let scores: HashMap<usize, f64> = answered.iter().filter_map(score).collect();
    let scores = (0..samples.len()).map(|id| scores.get(&id).copied());
    scores
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| jar.answered(text.trim()))
}

fn file(path: &Path, error: std::io::Error) -> ProgramError {
    ProgramError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Temporary folder of one run.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, ProgramError> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (process, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("anyref-spice-{process}-{next}"));
        fs::create_dir_all(&path).map_err(|error| file(&path, error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
