//! Requests that are wrong somewhere: every field of every call with every kind of garbage.
//!
//! Request `n` is a function of its number alone. `ANYREF_TEST_GARBAGE` is the number of requests,
//! `ANYREF_TEST_FIRST` that of the first one; `cargo xtask stress` sends 10,000.

mod common;

use std::time::Instant;

use anyref_server::ServerOptions;
use common::{Running, agent, base64, demo, gorilla};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value, json};

/// Longest time of a single answer in seconds, on a busy machine.
const PATIENCE: f64 = 30.0;

/// Call with all its fields.
struct Call {
    path: &'static str,
    body: Value,
    /// Places of values, as JSON pointers.
    places: Vec<String>,
}

impl Call {
    fn new(path: &'static str, body: Value) -> Self {
        let mut places = Vec::new();
        collect(&body, String::new(), &mut places);
        Self { path, body, places }
    }
}

/// Lists the places of all values.
fn collect(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                collect(field, format!("{place}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                collect(item, format!("{place}/{number}"), places);
            }
        }
        _ => {}
    }
    places.push(place);
}

/// All calls with JSON.
fn calls(id: &str) -> Vec<Call> {
    let small = base64(&demo("scene1-3-1.png"));
    let sound = base64(&demo("scene1-4-1.wav"));
    let picture = format!("data:image/png;base64,{small}");
    let references = json!([
        {"type": "text", "text": "the gorilla"},
        {"type": "box", "box": [10, 20, 90, 100]},
        {"type": "points", "points": [[160, 100], [20, 20]], "labels": [1, 0]},
        {"type": "picture", "data": small, "name": "a.png", "box": [1, 1, 20, 30]},
        {"type": "picture", "data": picture, "mask": {"size": [112, 83], "counts": "0`R9"}},
        {"type": "sound", "data": sound, "name": "a.wav"},
    ]);
    let question = |more: Value| {
        let mut body = json!({"model": "nano", "picture": id, "question": "{1} {2} {3} {4} {5} {6}",
            "references": references, "masks": "polygons", "stream": false});
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        body
    };
    let message = json!({"role": "user", "content": [
        {"type": "text", "text": "find {1} {2}"},
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}]});
    vec![
        Call::new(
            "/v1/segment",
            question(json!({"choose": "likeliest", "explain": false})),
        ),
        Call::new(
            "/v1/segment",
            question(
                json!({"picture": {"data": small, "name": "b.png"}, "question": "{1} {2}", "explain": true,
                    "references": [{"type": "text", "text": "the animal"}, {"type": "box", "box": [10, 20, 60, 100]}]}),
            ),
        ),
        Call::new("/v1/describe", question(json!({"masks": "png"}))),
        Call::new("/v1/chat", question(json!({"stream": true}))),
        Call::new("/v1/chat", question(json!({"conversation": "con_1"}))),
        Call::new(
            "/v1/masks",
            json!({"model": "nano", "picture": id, "points": [[160, 100], [30, 40]], "labels": [1, 0],
                "box": [108, 52, 205, 171], "low_res": null, "candidates": "all", "masks": "rle",
                "mask": {"size": [256, 256], "counts": "Xi8Xl4`Zb1"}}),
        ),
        Call::new(
            "/v1/chat/completions",
            json!({"model": "nano", "messages": [message], "max_tokens": 5, "stream": true, "n": 1,
                "anyref": {"references": [{"type": "box", "box": [1, 2, 30, 40]}], "masks": "png",
                    "choose": "likeliest"}}),
        ),
    ]
}

/// Number of kinds of garbage.
const KINDS: usize = 20;

/// Value in the place of another one; `None` if it is left out.
fn garbage(kind: usize, value: &Value, rng: &mut SmallRng) -> Option<Value> {
    Some(match kind {
        0 => return None,
        1 => Value::Null,
        2 => json!(rng.random::<i64>()),
        3 => json!(-1e300),
        4 => json!(""),
        5 => json!("{1} {2} {99}"),
        6 => json!("x".repeat(rng.random_range(1..9000))),
        7 => json!([]),
        8 => json!({"data": "AAAA", "size": [1, -1], "counts": "\u{0}"}),
        9 => json!([0, 0, 1e9, f64::MIN_POSITIVE]),
        10 => json!("data:image/png;base64,iVBORw0KGgo"),
        11 => json!(rng.random_bool(0.5)),
        12 => json!("\u{202e}<obj></s>\u{0}🦍"),
        13 => json!(u64::MAX),
        14 => json!({"size": [u32::MAX, u32::MAX], "counts": "PPPPPPPPP"}),
        15 => {
            let deep = rng.random_range(1..200);
            (0..deep).fold(value.clone(), |inner, _| json!([inner]))
        }
        16 => json!(vec![value.clone(); rng.random_range(2..40)]),
        17 => json!({"type": value, "value": value}),
        // Files and texts with damage somewhere.
        _ => match value {
            Value::String(text) if !text.is_empty() => {
                let mut bytes = text.clone().into_bytes();
                let place = rng.random_range(0..bytes.len());
                match kind {
                    18 => bytes.truncate(place),
                    _ => bytes[place] = rng.random_range(32..127),
                }
                json!(String::from_utf8_lossy(&bytes))
            }
            Value::Number(number) => {
                json!(number.as_f64().unwrap_or(0.0) * rng.random_range(-3.0..3.0))
            }
            Value::Object(fields) => {
                let rename = |(name, field): (&String, &Value)| (format!("{name}_"), field.clone());
                Value::Object(fields.iter().map(rename).collect::<Map<_, _>>())
            }
            _ => json!(0.5),
        },
    })
}

/// Puts garbage into a place of a body.
fn spoil(body: &mut Value, place: &str, kind: usize, rng: &mut SmallRng) {
    let Some(value) = body.pointer(place).cloned() else {
        return;
    };
    match garbage(kind, &value, rng) {
        Some(garbage) => *body.pointer_mut(place).unwrap() = garbage,
        None => {
            let (parent, name) = place.rsplit_once('/').unwrap_or_default();
            match body.pointer_mut(parent) {
                Some(Value::Object(fields)) => _ = fields.remove(name),
                Some(Value::Array(items)) => _ = items.remove(name.parse().unwrap()),
                _ => {}
            }
        }
    }
}

/// Request that is no JSON of a call: damaged files, addresses, headers and bytes.
fn odd(server: &Running, number: usize, id: &str, rng: &mut SmallRng) -> (String, u16, String) {
    let mut bytes = demo(["scene1.jpg", "scene1-3-1.png", "scene1-4-1.wav"][number % 3]);
    for _ in 0..rng.random_range(1..20) {
        let place = rng.random_range(0..bytes.len());
        bytes[place] = rng.random();
    }
    bytes.truncate(rng.random_range(1..=bytes.len()));
    let word: String = (0..rng.random_range(0..40))
        .map(|_| format!("%{:02X}", rng.random::<u8>()))
        .collect();
    let text = [
        "\u{0}",
        "a=b&c",
        "∞",
        "[]",
        "{\"picture\":",
        "\"",
        "1e999",
        "{}",
    ][rng.random_range(0..8)];
    let (method, path, kind, body) = match number / 3 % 9 {
        0 => ("POST", "/v1/pictures".to_owned(), "image/png", bytes),
        1 => (
            "POST",
            format!("/v1/pictures?model={word}&name={word}"),
            "image/png",
            bytes,
        ),
        2 => ("GET", format!("/v1/pictures/{word}"), "", Vec::new()),
        3 => ("DELETE", format!("/v1/pictures/{word}x"), "", Vec::new()),
        4 => ("GET", format!("/{word}"), "", Vec::new()),
        5 => (
            "PUT",
            "/v1/segment".to_owned(),
            "application/json",
            Vec::new(),
        ),
        6 => (
            "POST",
            "/v1/segment".to_owned(),
            "application/json; charset=\"",
            text.into(),
        ),
        7 => ("POST", "/v1/chat".to_owned(), "", text.into()),
        _ => {
            let mut body = gorilla(id).to_string().into_bytes();
            body.truncate(rng.random_range(1..body.len()));
            (
                "POST",
                "/v1/segment".to_owned(),
                "application/json",
                body.clone(),
            )
        }
    };
    let mut request = agent()
        .request(method, &server.url(&path))
        .set("Authorization", "Bearer x")
        .set("X-Request-Id", &"i".repeat(number % 100));
    if !kind.is_empty() {
        request = request.set("Content-Type", kind);
    }
    let (status, answer) = server.send(request, &body);
    (format!("{method} {path}"), status, answer)
}

#[test]
fn garbage_in_any_field_is_answered_and_nothing_grows() {
    let number = |name: &str, usual: usize| {
        std::env::var(name).map_or(usual, |number| number.parse().unwrap())
    };
    let (first, count) = (
        number("ANYREF_TEST_FIRST", 0),
        number("ANYREF_TEST_GARBAGE", 800),
    );
    let server = Running::of_program(ServerOptions::default());
    let id = server.upload("scene1.jpg");
    let calls = calls(&id);
    // Without garbage each is answered, but for the conversation that there is not: else a spoilt
    // field would hide behind another one.
    for call in &calls {
        let (status, answer) = server.post(call.path, &call.body);
        let expected = match call.body.get("conversation") {
            Some(_) => 404,
            None => 200,
        };
        assert_eq!(status, expected, "{} {answer}", call.path);
        // A stream has its errors in events.
        let failed = answer.to_string().contains("error");
        assert_eq!(failed, expected != 200, "{} {answer}", call.path);
    }
    let places: Vec<(&Call, &String)> = calls
        .iter()
        .flat_map(|call| call.places.iter().map(move |place| (call, place)))
        .collect();
    let (mut refused, mut memory, start) = (0, Vec::new(), Instant::now());
    for number in first..first + count {
        let rng = &mut SmallRng::seed_from_u64(number as u64);
        let asked = Instant::now();
        let (shown, status, answer) = if number % 8 == 7 {
            odd(&server, number / 8, &id, rng)
        } else {
            // All places in turn, each with another kind in every round.
            let number = number - number / 8;
            let (round, at) = (number / places.len(), number % places.len());
            let (call, place) = places[at];
            let mut body = call.body.clone();
            let kind = (round + at) % KINDS;
            spoil(&mut body, place, kind, rng);
            if rng.random_bool(0.2) {
                let other = &call.places[rng.random_range(0..call.places.len())];
                spoil(&mut body, other, rng.random_range(0..KINDS), rng);
            }
            let (status, answer) = server.post(call.path, &body);
            let shown: String = body.to_string().chars().take(300).collect();
            let shown = format!("{} {place} {kind}: {shown}", call.path);
            (shown, status, answer.to_string())
        };
        let shown = format!("request {number}, {shown}");
        assert!(
            status < 500 || status == 503,
            "{shown} -> {status} {answer}"
        );
        let said = answer.contains("\"code\":") || status < 300;
        assert!(said, "{shown} -> {status} {answer}");
        let seconds = asked.elapsed().as_secs_f64();
        assert!(seconds < PATIENCE, "{shown} took {seconds:.0} s");
        refused += usize::from(status >= 300);
        if (number - first) % (count / 8).max(1) == 0 {
            memory.push(server.metric("anyref_memory_bytes"));
        }
    }
    memory.push(server.metric("anyref_memory_bytes"));
    let megabytes: Vec<f64> = memory.iter().map(|bytes| (bytes / 1e6).round()).collect();
    println!(
        "{count} requests from {first}: {refused} refused, {:.0} s, memory in MB {megabytes:?}",
        start.elapsed().as_secs_f64()
    );
    assert!(refused > count / 3, "{refused} of {count}");
    // Level after a quarter, when caches are warm, and at the end.
    let (warm, last) = (memory[memory.len() / 4], memory[memory.len() - 1]);
    assert!(last < warm * 1.1 + 32e6, "{warm} bytes became {last}");
    server.answer("/v1/segment", &gorilla(&server.upload("scene1.jpg")));
    assert_eq!(server.metric("anyref_engine_restarts_total"), 0.0);
}
