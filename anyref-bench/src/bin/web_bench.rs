//! Native side of `cargo xtask bench web`: the session that the page has in its worker.
//!
//!     web_bench MODEL PICTURE...
//!
//! Prints the seconds of loading as JSON on one line. Then answers every line by seconds: `first N`
//! encodes picture `N` and asks about it, `next N` asks about the newest picture again.

use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

use anyref_core::allocator::{MiMalloc, keep_freed_memory};
use anyref_core::{Goal, ModelFiles};
use anyref_web::Session;
use burn::tensor::read_sync;

/// Allocator of the program `anyref`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    keep_freed_memory();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [model, pictures @ ..] = &words[..] else {
        return Err("usage: web_bench MODEL PICTURE...".into());
    };
    let read = |name: &str| std::fs::read(format!("{model}/{name}"));
    let files = ModelFiles {
        config: read("config.json")?.leak(),
        tokenizer: read("tokenizer.json")?.leak(),
        weights: read("model.safetensors")?.leak(),
    };
    let pictures = pictures.iter().map(std::fs::read);
    let pictures = pictures.collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let mut session = Session::load(files, "")?;
    let ready = start.elapsed().as_secs_f64();
    println!("{}", serde_json::json!({ "ready": ready }));
    let mut newest = String::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (what, number) = line.split_once(' ').ok_or("expected first N or next N")?;
        let picture = pictures.get(number.parse::<usize>()?);
        let start = Instant::now();
        if what == "first" {
            let encoded = session.encode(picture.ok_or("there is no such picture")?);
            newest = read_sync(encoded).map_err(|problem| problem.message)?.id;
        }
        let question = serde_json::json!({
            "picture": newest,
            "references": [{ "type": "text", "text": "the largest object" }],
        });
        let question = serde_json::from_value(question)?;
        let answer = read_sync(session.ask(Goal::Segment, &question, &mut |_| {}));
        let seconds = start.elapsed().as_secs_f64();
        answer.map_err(|problem| problem.message)?;
        println!("{seconds}");
    }
    Ok(())
}
