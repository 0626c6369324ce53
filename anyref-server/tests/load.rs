//! Many simultaneous clients, clients that leave, and failing engines.

mod common;

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyref_server::ServerOptions;
use common::told::{begin, told, wait_for};
use common::{Running, agent, base64, demo, gorilla};
use serde_json::{Value, json};

#[test]
fn many_clients_are_answered_in_batches() {
    let server = Running::new(ServerOptions::default());
    let scenes = ["scene1.jpg", "scene2.jpg", "scene3.jpg"];
    let ids: Vec<String> = scenes.iter().map(|scene| server.upload(scene)).collect();
    let sound = base64(&demo("scene1-4-1.wav"));
    let bodies: Vec<(&str, Value)> = ids
        .iter()
        .flat_map(|id| {
            [
                ("/v1/segment", gorilla(id)),
                ("/v1/describe", json!({"picture": id, "references": [{"type": "box", "box": [10, 20, 90, 100]}]})),
                ("/v1/segment", json!({"picture": id, "references": [{"type": "sound", "data": sound}]})),
                ("/v1/chat", json!({"picture": id, "question": "Can you segment the tree in this image?"})),
            ]
        })
        .collect();
    let expected: Vec<Value> = bodies
        .iter()
        .map(|(path, body)| server.answer(path, body)["text"].clone())
        .collect();
    let busy = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (server, bodies, expected, busy) = (&server, &bodies, &expected, &busy);
            scope.spawn(move || {
                for turn in 0..20 {
                    let number = (client * 5 + turn) % bodies.len();
                    let (path, body) = &bodies[number];
                    let (status, answer) = server.post(path, body);
                    match status {
                        200 => assert_eq!(answer["text"], expected[number]),
                        503 => _ = busy.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{status} {answer}"),
                    }
                }
            });
        }
    });
    assert_eq!(busy.load(Ordering::Relaxed), 0);
    let batches = server.metric("anyref_batch_size_count");
    let questions = server.metric("anyref_batch_size_sum");
    assert!(
        questions > 1.5 * batches,
        "{questions} questions in {batches} batches"
    );
    assert_eq!(server.metric(r#"anyref_queue_length{model="nano"}"#), 0.0);
}

#[test]
fn clients_that_leave_are_dropped_and_a_full_queue_says_so() {
    let mut options = ServerOptions::default();
    options.limits.queue = 3;
    options.limits.batch = 1;
    let (server, orders) = told(options);
    let body = gorilla(&server.upload("scene1.jpg"));
    orders.slow.store(true, Ordering::Relaxed);
    let first = begin(&server, &body);
    wait_for("the first is asked", || {
        server.metric("anyref_batch_size_count") == 1.0
    });
    let others: Vec<TcpStream> = (0..3).map(|_| begin(&server, &body)).collect();
    wait_for("three wait", || {
        server.metric(r#"anyref_queue_length{model="nano"}"#) == 3.0
    });
    let request = agent()
        .post(&server.url("/v1/segment"))
        .set("Content-Type", "application/json");
    match request.send_bytes(body.to_string().as_bytes()) {
        Err(ureq::Error::Status(503, response)) => {
            assert_eq!(response.header("Retry-After"), Some("2"));
            assert!(response.into_string().unwrap().contains("queue_full"));
        }
        other => panic!("{other:?}"),
    }
    // All clients leave: the running question is cancelled, the others are never asked.
    drop(first);
    drop(others);
    wait_for("the first is cancelled", || {
        orders.cancelled.load(Ordering::Relaxed) == 1
    });
    orders.slow.store(false, Ordering::Relaxed);
    server.answer("/v1/segment", &body);
    wait_for("they are counted", || {
        server.metric("anyref_clients_left_total") >= 4.0
    });
    assert_eq!(orders.answered.load(Ordering::Relaxed), 2);
}

#[test]
fn a_failed_engine_is_started_again() {
    let (server, orders) = told(ServerOptions::default());
    let body = gorilla(&server.upload("scene1.jpg"));
    orders.panic.store(true, Ordering::Relaxed);
    let (status, answer) = server.post("/v1/segment", &body);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &json!("engine_failed"))
    );
    wait_for("it is not ready", || server.get("/readyz").0 == 503);
    assert_eq!(server.get("/healthz").0, 200);
    wait_for("it is ready again", || server.get("/readyz").0 == 200);
    assert_eq!(orders.loads.load(Ordering::Relaxed), 2);
    // The pictures of the failed engine are gone.
    assert_eq!(server.post("/v1/segment", &body).0, 404);
    server.answer("/v1/segment", &gorilla(&server.upload("scene1.jpg")));
    assert_eq!(server.metric("anyref_engine_restarts_total"), 1.0);
}

#[test]
fn a_server_that_ends_finishes_what_runs() {
    let (mut server, orders) = told(ServerOptions::default());
    let body = gorilla(&server.upload("scene1.jpg"));
    orders.slow.store(true, Ordering::Relaxed);
    let mut running = begin(&server, &body);
    wait_for("it is asked", || {
        server.metric("anyref_batch_size_count") == 1.0
    });
    server.ask_to_end();
    std::thread::sleep(Duration::from_millis(100));
    orders.slow.store(false, Ordering::Relaxed);
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut running, &mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("gorilla"),
        "{answer}"
    );
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn a_slow_answer_is_given_up() {
    let mut options = ServerOptions::default();
    options.limits.answer = Duration::from_secs(3);
    let (server, orders) = told(options);
    // Encoded within its time, however busy the machine is.
    let mut id = None;
    for _ in 0..20 {
        let (status, text) = server.send(
            agent().post(&server.url("/v1/pictures")),
            &demo("scene1.jpg"),
        );
        if status == 201 {
            let picture: Value = serde_json::from_str(&text).unwrap();
            id = picture["id"].as_str().map(str::to_owned);
            break;
        }
    }
    orders.slow.store(true, Ordering::Relaxed);
    let (status, answer) = server.post("/v1/segment", &gorilla(&id.unwrap()));
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("timeout")));
    wait_for("it is cancelled", || {
        orders.cancelled.load(Ordering::Relaxed) == 1
    });
    orders.slow.store(false, Ordering::Relaxed);
}
