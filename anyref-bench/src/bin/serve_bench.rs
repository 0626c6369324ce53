//! Times answers of an engine in process and by `anyref serve`, for `cargo xtask bench serve`.
//!
//!     serve_bench PROGRAM MODEL PICTURE TEXT
//!
//! Prints what it is as JSON on one line, then answers every line by the seconds of one run:
//! `engine new` or `http new` asks about a picture that was not seen before, from its file to the
//! answer, and `engine next` or `http next` asks about that picture again. `http alive` asks
//! whether the server runs.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyref_core::allocator::{MiMalloc, keep_freed_memory};
use anyref_core::{
    Answer, EncodedPicture, Engine, EngineOptions, ModelSource, Prompt, Reference, load_engine,
};
use anyref_vision::preprocess::decode_image;
use serde_json::{Value, json};

type Failure = Box<dyn Error>;

/// Allocator of the command line.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<(), Failure> {
    keep_freed_memory();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [program, model, picture, text] = &words[..] else {
        return Err("usage: serve_bench PROGRAM MODEL PICTURE TEXT".into());
    };
    let mut bench = Bench {
        engine: load_engine(&EngineOptions::new(ModelSource::Path(model.into())))?,
        server: Server::start(program, model)?,
        file: std::fs::read(picture)?,
        prompt: Prompt::new([Reference::Text(text.clone())]),
        text: text.clone(),
        seen: 0,
        encoded: None,
        id: String::new(),
    };
    bench.check()?;
    println!("{}", json!({"device": bench.engine.info().device}));
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let file = bench.unseen();
        let start = Instant::now();
        match line.as_str() {
            "engine new" => drop(bench.engine_new(&file)?),
            "engine next" => drop(bench.engine_next()?),
            "http new" => drop(bench.http_new(&file)?),
            "http next" => drop(bench.http_next()?),
            "http alive" => bench.server.alive()?,
            other => return Err(format!("no run {other}").into()),
        }
        println!("{:.6e}", start.elapsed().as_secs_f64());
    }
    Ok(())
}

struct Bench {
    engine: Box<dyn Engine>,
    server: Server,
    file: Vec<u8>,
    prompt: Prompt,
    text: String,
    /// Number of files that were made.
    seen: u64,
    /// Newest picture in process.
    encoded: Option<EncodedPicture>,
    /// Newest picture of the server.
    id: String,
}

impl Bench {
    /// The picture as a file that was not sent before: what follows its end is ignored.
    fn unseen(&mut self) -> Vec<u8> {
        self.seen += 1;
        [&self.file[..], &self.seen.to_le_bytes()].concat()
    }

    /// Checks that both ways give the same answer.
    fn check(&mut self) -> Result<(), Failure> {
        let file = self.unseen();
        let (own, far) = (self.engine_new(&file)?, self.http_new(&file)?);
        let counts = far["masks"].as_array().into_iter().flatten();
        let counts: Vec<&str> = counts.filter_map(|mask| mask["counts"].as_str()).collect();
        let masks = own.masks.iter().map(|mask| mask.rle.to_compressed());
        match far["text"] == own.text.as_str() && masks.eq(counts) {
            true => Ok(()),
            false => Err(format!("the answers differ: {} and {far}", own.text).into()),
        }
    }

    fn engine_new(&mut self, file: &[u8]) -> Result<Answer, Failure> {
        let image = decode_image(file, "the picture")?;
        self.encoded = Some(self.engine.encode(&image)?);
        self.engine_next()
    }

    fn engine_next(&self) -> Result<Answer, Failure> {
        let picture = self.encoded.as_ref().ok_or("no picture was encoded")?;
        Ok(self.engine.segment(picture, &self.prompt)?)
    }

    fn http_new(&mut self, file: &[u8]) -> Result<Value, Failure> {
        let response = self.server.post("/v1/pictures").send_bytes(file)?;
        let picture: Value = serde_json::from_str(&response.into_string()?)?;
        self.id = picture["id"].as_str().ok_or("no id")?.to_owned();
        self.http_next()
    }

    fn http_next(&self) -> Result<Value, Failure> {
        let reference = json!({"type": "text", "text": self.text});
        let question = json!({"picture": self.id, "references": [reference]}).to_string();
        let request = self.server.post("/v1/segment");
        let request = request.set("Content-Type", "application/json");
        let response = request.send_bytes(question.as_bytes())?;
        Ok(serde_json::from_str(&response.into_string()?)?)
    }
}

/// Running server, killed when dropped.
struct Server {
    child: Child,
    /// Output, which the server writes as long as somebody reads.
    _output: BufReader<ChildStdout>,
    address: String,
    agent: ureq::Agent,
}

impl Server {
    fn start(program: &str, model: &str) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--model"]);
        // Pictures of earlier runs need not stay.
        command.arg(Path::new(model)).args(["--cache", "64"]);
        command.env("RUST_LOG", "warn").stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut said = String::new();
        output.read_line(&mut said)?;
        let address = said
            .split("http://")
            .nth(1)
            .map(|end| end.trim().trim_end_matches('/'));
        Ok(Self {
            address: address.ok_or(format!("no address: {said}"))?.to_owned(),
            child,
            _output: output,
            agent: ureq::agent(),
        })
    }

    fn post(&self, path: &str) -> ureq::Request {
        self.agent.post(&format!("http://{}{path}", self.address))
    }

    fn alive(&self) -> Result<(), Failure> {
        let request = self.agent.get(&format!("http://{}/healthz", self.address));
        request.call()?.into_string()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
