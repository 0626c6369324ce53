//! Server with the shipped model, and a client.

#![allow(dead_code, reason = "each test has a use for a part of it")]

pub mod told;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyref_core::{Engine, EngineOptions, ModelSource, load_engine};
use anyref_server::{LoadEngine, ServedModel, Server, ServerOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Path of a file of the workspace.
pub fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../assets")
        .join(name)
}

/// Content of a bundled demo file.
pub fn demo(name: &str) -> Vec<u8> {
    std::fs::read(asset("demo").join(name)).unwrap()
}

/// All bundled demo files.
pub fn scenes() -> &'static [(&'static str, &'static [u8])] {
    let names = std::fs::read_dir(asset("demo")).unwrap();
    let files = names.map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let content = demo(&name).leak();
        (&*name.leak(), &*content)
    });
    files.collect::<Vec<_>>().leak()
}

/// Shipped model.
pub fn nano() -> Box<dyn Engine> {
    load_engine(&EngineOptions::new(ModelSource::Path(asset("nano")))).unwrap()
}

/// Base64 without its crate.
pub fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(SIGNS[(group >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text + &"=".repeat((3 - bytes.len() % 3) % 3)
}

/// Running server, which shuts down when dropped.
pub struct Running {
    pub address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Process of the server, and its output, which it writes as long as somebody reads.
    program: Option<(Child, BufReader<ChildStdout>)>,
}

impl Running {
    /// Starts the shipped model with these options.
    pub fn new(options: ServerOptions) -> Self {
        Self::with(Arc::new(|| Ok(nano())), options)
    }

    /// Starts any engine.
    pub fn with(load: Arc<LoadEngine>, options: ServerOptions) -> Self {
        Self::of(vec![ServedModel::new(load)], options)
    }

    /// Several models.
    pub fn of(models: Vec<ServedModel>, options: ServerOptions) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let server = Server::start(models, options).unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                let ended = async {
                    let _ = ended.await;
                };
                server.serve(listener, ended).await.unwrap();
            });
        });
        Self {
            address: receiver.recv().unwrap(),
            end: Some(end),
            thread: Some(thread),
            program: None,
        }
    }

    /// Shipped model, served by the program that the variable `ANYREF` names, whose memory is the
    /// server's alone, or like [`new`](Self::new) where there is none.
    pub fn of_program(options: ServerOptions) -> Self {
        let Some(program) = std::env::var_os("ANYREF") else {
            return Self::new(options);
        };
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--model"]);
        command.arg(asset("nano"));
        let cache = options.limits.cache_bytes >> 20;
        command.args(["--cache", &cache.to_string()]);
        command.env("RUST_LOG", "warn");
        let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(program.stdout.take().unwrap());
        lines.read_line(&mut said).unwrap();
        let address = said.split("http://").nth(1).unwrap_or_default();
        let address = address.trim().trim_end_matches('/').parse();
        Self {
            address: address.unwrap_or_else(|_| panic!("no address: {said}")),
            end: None,
            thread: None,
            program: Some((program, lines)),
        }
    }

    /// Returns whether the server is a process of its own.
    pub fn is_program(&self) -> bool {
        self.program.is_some()
    }

    /// Asks the server to shut down, without waiting.
    pub fn ask_to_end(&mut self) {
        drop(self.end.take());
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends a request; returns status and content.
    pub fn send(&self, request: ureq::Request, body: &[u8]) -> (u16, String) {
        let response = match body {
            [] => request.call(),
            body => request.send_bytes(body),
        };
        match response {
            Ok(response) | Err(ureq::Error::Status(_, response)) => {
                (response.status(), response.into_string().unwrap())
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.send(agent().get(&self.url(path)), &[])
    }

    /// Posts JSON; returns status and JSON.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = agent()
            .post(&self.url(path))
            .set("Content-Type", "application/json");
        let (status, text) = self.send(request, body.to_string().as_bytes());
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    /// Posts JSON and expects an answer.
    pub fn answer(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.post(path, body);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Uploads a demo picture; returns its identifier.
    pub fn upload(&self, name: &str) -> String {
        let (status, text) = self.send(agent().post(&self.url("/v1/pictures")), &demo(name));
        assert_eq!(status, 201, "{text}");
        let picture: Value = serde_json::from_str(&text).unwrap();
        picture["id"].as_str().unwrap().to_owned()
    }

    /// Sends raw bytes; returns the response until the server closes or falls silent.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        // The server may answer before everything is sent.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Value of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ask_to_end();
        if let Some((program, _)) = &mut self.program {
            let _ = program.kill();
            let _ = program.wait();
        }
        let Some(thread) = self.thread.take() else {
            return;
        };
        let ended = thread.join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

pub fn agent() -> ureq::Agent {
    ureq::AgentBuilder::new()
        .timeout(Duration::from_secs(60))
        .build()
}

/// Question about the gorilla.
pub fn gorilla(picture: &str) -> Value {
    json!({"picture": picture, "references": [{"type": "text", "text": "the gorilla"}]})
}
