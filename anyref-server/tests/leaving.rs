//! Clients that leave in every phase of a request, and clients that are too slow.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use anyref_server::ServerOptions;
use common::told::wait_for;
use common::{Running, base64, demo, gorilla};
use serde_json::json;

fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

fn metric_of_queue(server: &Running) -> f64 {
    server.metric(r#"anyref_queue_length{model="nano"}"#)
}

#[test]
fn clients_leave_in_every_phase_and_the_others_are_answered() {
    let server = Running::new(ServerOptions::default());
    let id = server.upload("scene1.jpg");
    let data = base64(&demo("scene2.jpg"));
    let bodies = [
        ("/v1/segment", gorilla(&id)),
        (
            "/v1/chat",
            json!({"picture": id, "question": "a dog", "stream": true}),
        ),
        (
            "/v1/describe",
            json!({"picture": {"data": data}, "references": [{"type": "box", "box": [1, 1, 90, 90]}]}),
        ),
    ];
    let bodies = bodies.map(|(path, body)| (path, body.to_string()));
    for round in 0..24 {
        let (path, body) = &bodies[round % bodies.len()];
        let mut stream = TcpStream::connect(server.address).unwrap();
        let all = [head(path, body.len()).as_bytes(), body.as_bytes()].concat();
        // In the head, in the body, with half a connection, at once, and after a while.
        match round / bodies.len() {
            0 => stream.write_all(&all[..20]).unwrap(),
            1 => stream.write_all(&all[..all.len() - 9]).unwrap(),
            2 => {
                stream.write_all(&all[..all.len() - 9]).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let mut answer = String::new();
                let _ = stream.read_to_string(&mut answer);
                assert!(!answer.contains("200 OK"), "{answer}");
            }
            3 => stream.write_all(&all).unwrap(),
            wait => {
                stream.write_all(&all).unwrap();
                std::thread::sleep(Duration::from_millis(8 * wait as u64));
            }
        }
        drop(stream);
    }
    wait_for("nothing waits", || metric_of_queue(&server) == 0.0);
    let answer = server.answer("/v1/segment", &gorilla(&id));
    assert_eq!(answer["text"], "gorilla.");
    assert_eq!(server.metric("anyref_engine_restarts_total"), 0.0);
}

#[test]
fn slow_clients_hold_nobody_up_and_are_sent_away() {
    let mut options = ServerOptions::default();
    options.limits.upload = Duration::from_secs(2);
    let server = Running::new(options);
    let id = server.upload("scene1.jpg");
    let start = Instant::now();
    // Heads and bodies that come byte by byte, of more clients than there are threads.
    let mut slow: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            let head = head("/v1/segment", 1 << 20);
            let sent = if number % 2 == 0 { 30 } else { head.len() };
            stream.write_all(&head.as_bytes()[..sent]).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    while start.elapsed() < Duration::from_secs(1) {
        let asked = Instant::now();
        assert_eq!(server.get("/healthz").0, 200);
        assert_eq!(
            server.answer("/v1/segment", &gorilla(&id))["text"],
            "gorilla."
        );
        assert!(asked.elapsed() < Duration::from_secs(20));
        for stream in &mut slow {
            let _ = stream.write_all(b"x");
        }
    }
    // Each is answered with a reason, or its connection is closed.
    let end = Instant::now() + Duration::from_secs(20);
    let (mut told, mut closed) = (0, 0);
    while !slow.is_empty() && Instant::now() < end {
        slow.retain_mut(|stream| {
            let _ = stream.write_all(b"x");
            let mut answer = [0; 4096];
            match stream.read(&mut answer) {
                Ok(0) => closed += 1,
                Ok(read) => {
                    let answer = String::from_utf8_lossy(&answer[..read]);
                    assert!(
                        answer.contains(" 408 ") || answer.contains(" 400 "),
                        "{answer}"
                    );
                    told += 1;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Err(_) => closed += 1,
            }
            false
        });
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(slow.is_empty(), "{} are still connected", slow.len());
    assert!(told >= 50, "{told} told, {closed} closed");
    assert_eq!(
        server.answer("/v1/segment", &gorilla(&id))["text"],
        "gorilla."
    );
}
