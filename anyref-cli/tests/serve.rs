//! `anyref serve` as a process: killed and started again, and its log.
#![cfg(feature = "serve")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Running program, killed when dropped.
struct Serving {
    child: Child,
    address: SocketAddr,
    /// Output, which the program writes as long as somebody reads.
    _output: BufReader<ChildStdout>,
    log: BufReader<ChildStderr>,
}

impl Serving {
    fn start(listen: &str, more: &[&str], filter: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anyref"));
        command.args(["serve", "--listen", listen]).args(more);
        command.env_remove("RUST_LOG");
        if let Some(filter) = filter {
            command.env("RUST_LOG", filter);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        output.read_line(&mut said).unwrap();
        let Some((_, address)) = said.trim().split_once("http://") else {
            let mut error = String::new();
            let _ = log.read_to_string(&mut error);
            panic!("no address: {said}{error}");
        };
        Self {
            address: address.trim_end_matches('/').parse().unwrap(),
            child,
            _output: output,
            log,
        }
    }

    /// Sends a request without waiting for its answer.
    fn begin(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream
    }

    /// Answer to a request, with its head.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
        let mut answer = String::new();
        let mut stream = self.begin(method, path, headers, body);
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Segments the gorilla in the first scene, uploaded for it.
    fn gorilla(&self) -> String {
        let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo/scene1.jpg");
        let uploaded = self.ask("POST", "/v1/pictures", "", &std::fs::read(picture).unwrap());
        let id = uploaded.split("\"id\":\"").nth(1).unwrap();
        let question = question(id.split('"').next().unwrap());
        self.ask("POST", "/v1/segment", JSON, question.as_bytes())
    }

    /// Ends the program at once, and returns the rest of its log.
    fn killed(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

fn question(id: &str) -> String {
    format!(r#"{{"picture": "{id}", "references": [{{"type": "text", "text": "the gorilla"}}]}}"#)
}

#[test]
fn a_killed_server_starts_again_at_the_same_address() {
    let mut server = Serving::start("127.0.0.1:0", &[], Some("off"));
    let expected = server.gorilla();
    assert!(expected.contains("\"text\":\"gorilla.\""), "{expected}");
    let address = server.address.to_string();
    for _ in 0..2 {
        // Killed amid work, with connections that nobody closes.
        let picture = vec![0; 1 << 16];
        let running: Vec<TcpStream> = (0..4)
            .map(|_| server.begin("POST", "/v1/pictures", "", &picture))
            .collect();
        assert_eq!(server.killed(), "");
        let start = Instant::now();
        server = Serving::start(&address, &[], Some("off"));
        let seconds = start.elapsed().as_secs_f64();
        assert!(seconds < 30.0, "{seconds} s until it answers again");
        drop(running);
        let answer = server.gorilla();
        let masks = |answer: &str| {
            let counts = answer.split("\"counts\":\"").nth(1).unwrap_or_default();
            counts.split('"').next().unwrap_or_default().to_owned()
        };
        assert_eq!(masks(&answer), masks(&expected));
    }
}

#[test]
fn each_request_has_a_line_with_its_identifier() {
    let server = Serving::start("127.0.0.1:0", &[], None);
    let answer = server.ask("GET", "/healthz", "X-Request-Id: mine-7\r\n", b"");
    assert!(answer.contains("x-request-id: mine-7\r\n"), "{answer}");
    server.ask("GET", "/v1/nothing?secret=1", "X-Request-Id: a b\r\n", b"");
    let answer = server.ask("POST", "/v1/segment", JSON, question("pic_0").as_bytes());
    let id = answer.split("x-request-id: ").nth(1).unwrap();
    let id = id.split("\r\n").next().unwrap().to_owned();
    assert_eq!(id.len(), 16, "{id}");
    let log = server.killed();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    let line = |number: usize, parts: &[&str]| {
        let line = lines[number];
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    };
    line(
        0,
        &[
            "INFO",
            "mine-7",
            "method=GET",
            "path=\"/healthz\"",
            "status=200",
            "ms=",
        ],
    );
    line(1, &["path=\"/v1/nothing\"", "status=404"]);
    line(
        2,
        &[&id, "method=POST", "path=\"/v1/segment\"", "status=404"],
    );
    // What a query says, and what is no identifier, stays out of the log.
    assert!(!log.contains("secret") && !log.contains("a b"), "{log}");
}

#[test]
fn rust_log_and_verbose_select_lines() {
    let ask = |more: &[&str], filter: Option<&str>| {
        let server = Serving::start("127.0.0.1:0", more, filter);
        server.gorilla();
        server.killed()
    };
    assert_eq!(ask(&[], Some("warn")), "");
    assert_eq!(ask(&["-v"], Some("off")), "");
    // The model's part in a request is told in the request's span.
    for log in [ask(&[], Some("anyref_server=debug")), ask(&["-v"], None)] {
        let waited = log
            .lines()
            .find(|line| line.contains("waited for the model"));
        let waited = waited.unwrap_or_else(|| panic!("{log}"));
        assert!(
            waited.contains("DEBUG") && waited.contains("path=\"/v1/pictures\""),
            "{waited}"
        );
    }
    let log = ask(&[], Some("no level=here=now"));
    assert!(log.contains("RUST_LOG is not understood"), "{log}");
}
