//! Many simultaneous clients, clients that leave, garbage, and failing engines.

mod common;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyref_core::{
    Answer, AutomaticMask, AutomaticMaskConfig, Cancel, Dialogue, EncodedPicture, Engine,
    EngineFuture, EngineInfo, Explanation, MaskPrediction, MaskPrompt, Multimask, OnPoints, OnText,
    Prompt, Request, Result,
};
use anyref_server::ServerOptions;
use common::{Running, agent, base64, demo, gorilla, nano};
use image::RgbImage;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
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

/// Shipped model that can be told to be slow, or to fail.
#[derive(Debug)]
struct Told {
    engine: Box<dyn Engine>,
    orders: Arc<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    slow: AtomicBool,
    panic: AtomicBool,
    loads: AtomicUsize,
    answered: AtomicUsize,
    cancelled: AtomicUsize,
}

impl Engine for Told {
    fn info(&self) -> &EngineInfo {
        self.engine.info()
    }

    fn check(&self) -> Result<()> {
        self.engine.check()
    }

    fn encode_async<'a>(
        &'a self,
        images: &'a [&'a RgbImage],
    ) -> EngineFuture<'a, Result<Vec<EncodedPicture>>> {
        self.engine.encode_async(images)
    }

    fn answer_async<'a>(
        &'a self,
        requests: &'a [Request<'a>],
        on_text: OnText<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>> {
        let until = Instant::now() + Duration::from_secs(20);
        while self.orders.slow.load(Ordering::Relaxed) && Instant::now() < until {
            if cancel.is_cancelled() {
                self.orders.cancelled.fetch_add(1, Ordering::Relaxed);
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(
            !self.orders.panic.swap(false, Ordering::Relaxed),
            "told to fail"
        );
        self.orders
            .answered
            .fetch_add(requests.len(), Ordering::Relaxed);
        self.engine.answer_async(requests, on_text, cancel)
    }

    fn explain_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompt: &'a Prompt,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<(Answer, Vec<Explanation>)>> {
        self.engine.explain_async(picture, prompt, cancel)
    }

    fn chat_async<'a>(
        &'a self,
        dialogue: &'a mut Dialogue,
        prompt: Prompt,
        on_text: &'a mut (dyn FnMut(&str) -> std::ops::ControlFlow<()> + Send),
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Answer>> {
        self.engine.chat_async(dialogue, prompt, on_text, cancel)
    }

    fn prompt_masks_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompts: &'a [MaskPrompt],
        multimask: Multimask,
    ) -> EngineFuture<'a, Result<Vec<MaskPrediction>>> {
        self.engine.prompt_masks_async(picture, prompts, multimask)
    }

    fn automatic_masks_async<'a>(
        &'a self,
        image: &'a RgbImage,
        config: &'a AutomaticMaskConfig,
        on_points: OnPoints<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Vec<AutomaticMask>>> {
        self.engine
            .automatic_masks_async(image, config, on_points, cancel)
    }
}

fn told(options: ServerOptions) -> (Running, Arc<Orders>) {
    let orders = Arc::new(Orders::default());
    let shared = orders.clone();
    let load = move || {
        if shared.loads.fetch_add(1, Ordering::Relaxed) > 0 {
            // Requests are refused during this time.
            std::thread::sleep(Duration::from_millis(300));
        }
        let engine: Box<dyn Engine> = Box::new(Told {
            engine: nano(),
            orders: shared.clone(),
        });
        Ok(engine)
    };
    (Running::with(Arc::new(load), options), orders)
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a question without waiting for its answer.
fn begin(server: &Running, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
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

/// Changes a value somewhere.
fn mutate(value: &mut Value, rng: &mut SmallRng) {
    let garbage = |rng: &mut SmallRng| match rng.random_range(0..12) {
        0 => Value::Null,
        1 => json!(rng.random::<i64>()),
        2 => json!(-1e300),
        3 => json!(""),
        4 => json!("{1} {2} {99}"),
        5 => json!("x".repeat(rng.random_range(1..9000))),
        6 => json!([]),
        7 => json!({"data": "AAAA", "size": [1, -1], "counts": "\u{0}"}),
        8 => json!([0, 0, 1e9, f64::MIN_POSITIVE]),
        9 => json!("data:image/png;base64,iVBORw0KGgo"),
        10 => json!(true),
        _ => json!("\u{202e}<obj></s>\u{0}🦍"),
    };
    match value {
        Value::Object(fields) if !fields.is_empty() && rng.random_bool(0.9) => {
            let number = rng.random_range(0..fields.len());
            let (name, field) = fields.iter_mut().nth(number).unwrap();
            match rng.random_range(0..8) {
                0 => {
                    _ = {
                        let name = name.clone();
                        fields.remove(&name)
                    }
                }
                _ => mutate(field, rng),
            }
        }
        Value::Array(items) if !items.is_empty() && rng.random_bool(0.9) => {
            let number = rng.random_range(0..items.len());
            match rng.random_range(0..6) {
                0 => _ = items.remove(number),
                1 => items.push(items[number].clone()),
                _ => mutate(&mut items[number], rng),
            }
        }
        Value::String(text) if text.len() > 8 && rng.random_bool(0.5) => {
            // Files with damage somewhere.
            let mut bytes = std::mem::take(text).into_bytes();
            let place = rng.random_range(0..bytes.len());
            match rng.random_bool(0.5) {
                true => bytes.truncate(place),
                false => bytes[place] = rng.random_range(32..127),
            }
            *text = String::from_utf8_lossy(&bytes).into_owned();
        }
        place => *place = garbage(rng),
    }
}

/// Requests that are wrong somewhere; `ANYREF_TEST_GARBAGE` is their number.
#[test]
fn garbage_in_any_field_is_answered_and_nothing_grows() {
    let count: usize =
        std::env::var("ANYREF_TEST_GARBAGE").map_or(600, |count| count.parse().unwrap());
    let server = Running::new(ServerOptions::default());
    let id = server.upload("scene1.jpg");
    let small = base64(&demo("scene1-3-1.png"));
    let sound = base64(&demo("scene1-4-1.wav"));
    let picture = format!("data:image/png;base64,{small}");
    let references = json!([
        {"type": "text", "text": "the gorilla"},
        {"type": "box", "box": [10, 20, 90, 100]},
        {"type": "picture", "data": small, "name": "a.png", "box": [1, 1, 20, 30]},
        {"type": "picture", "data": picture, "mask": {"size": [112, 83], "counts": "0TY9"}},
        {"type": "sound", "data": sound},
    ]);
    let question = json!({"picture": id, "question": "{1} {2} {3} {4} {5}", "references": references,
        "masks": "polygons", "choose": "likeliest", "stream": false, "explain": false, "conversation": "con_1"});
    let message = json!({"role": "user", "content": [
        {"type": "text", "text": "find {1}"}, {"type": "image_url", "image_url": {"url": picture}},
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}]});
    let completion = json!({"model": "nano", "messages": [message], "max_tokens": 5, "stream": true, "n": 1,
        "anyref": {"references": [], "masks": "png", "choose": "best"}});
    let rng = &mut SmallRng::seed_from_u64(26);
    let paths = [
        "/v1/segment",
        "/v1/describe",
        "/v1/chat",
        "/v1/chat/completions",
    ];
    let mut memory = 0.0;
    let mut refused = 0;
    for number in 0..count {
        let path = paths[rng.random_range(0..paths.len())];
        let mut body = match path {
            "/v1/chat/completions" => completion.clone(),
            _ => question.clone(),
        };
        if path != "/v1/chat" && rng.random_bool(0.7) {
            body.as_object_mut().unwrap().remove("conversation");
        }
        for _ in 0..rng.random_range(1..4) {
            mutate(&mut body, rng);
        }
        let (status, answer) = server.post(path, &body);
        refused += usize::from(status != 200);
        let shown: String = body.to_string().chars().take(300).collect();
        assert!(
            status < 500 || status == 503,
            "{path} {status} {answer} {shown}"
        );
        assert!(
            status == 200 || answer["error"]["code"].is_string(),
            "{path} {status} {answer}"
        );
        if number == count / 4 {
            memory = server.metric("anyref_memory_bytes");
        }
    }
    assert!(refused > count / 2, "{refused} of {count}");
    let now = server.metric("anyref_memory_bytes");
    assert!(now < memory * 1.1 + 64e6, "{memory} bytes became {now}");
    server.answer("/v1/segment", &gorilla(&id));
    assert_eq!(server.metric("anyref_engine_restarts_total"), 0.0);
}
