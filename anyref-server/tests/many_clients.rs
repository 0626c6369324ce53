//! Many clients at once, with questions of all kinds about pictures of several sizes; and what
//! batches gain over one question after the other.
//!
//! `ANYREF_TEST_CLIENTS` and `ANYREF_TEST_REQUESTS` are the numbers of clients and of requests of
//! each; `cargo xtask stress` takes 64 and 50.

mod common;

use std::io::Cursor;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyref_server::ServerOptions;
use common::{Running, agent, base64, demo, gorilla};
use image::imageops::{FilterType, resize};
use image::{DynamicImage, ImageFormat};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

fn variable(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |number| number.parse().unwrap())
}

/// A demo picture in another size.
fn resized(name: &str, width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let image = image::load_from_memory(&demo(name)).unwrap().to_rgb8();
    let image = DynamicImage::from(resize(&image, width, height, FilterType::Triangle));
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn upload(server: &Running, file: &[u8]) -> String {
    let (status, text) = server.send(agent().post(&server.url("/v1/pictures")), file);
    assert_eq!(status, 201, "{text}");
    let picture: Value = serde_json::from_str(&text).unwrap();
    picture["id"].as_str().unwrap().to_owned()
}

/// Requests of every kind about a picture of this size.
fn requests(id: &str, file: &[u8], [width, height]: [u32; 2]) -> Vec<(&'static str, Value)> {
    let sound = base64(&demo("scene1-4-1.wav"));
    let other = base64(&demo("scene1-3-1.png"));
    let region = [width / 8, height / 8, width / 2, height / 2];
    let about = |reference: Value| json!({"picture": id, "references": [reference]});
    let words = "Can you segment the tree in this image?";
    let url = format!("data:image/png;base64,{}", base64(file));
    vec![
        ("/v1/segment", gorilla(id)),
        ("/v1/segment", about(json!({"type": "box", "box": region}))),
        (
            "/v1/segment",
            about(json!({"type": "sound", "data": sound})),
        ),
        (
            "/v1/segment",
            about(json!({"type": "picture", "data": other})),
        ),
        ("/v1/describe", about(json!({"type": "box", "box": region}))),
        (
            "/v1/chat",
            json!({"picture": id, "question": words, "masks": "polygons"}),
        ),
        (
            "/v1/chat",
            json!({"picture": id, "question": words, "stream": true}),
        ),
        (
            "/v1/masks",
            json!({"picture": id, "points": [[width / 3, height / 3]], "masks": "png"}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "nano", "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": words}]}]}),
        ),
    ]
}

/// The sentence of an answer in any form.
fn sentence(answer: &Value) -> String {
    if let Value::String(events) = answer {
        let last = events.split("event: final\ndata: ").nth(1);
        let last: Value = serde_json::from_str(last.unwrap_or_default().trim()).unwrap();
        return last["text"].as_str().unwrap().to_owned();
    }
    let completion = &answer["choices"][0]["message"]["content"];
    let text = answer["text"].as_str().or(completion.as_str());
    text.unwrap_or_default().to_owned()
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

/// Lets clients ask at once; times of answers in milliseconds, and the number of refusals.
fn ask(
    server: &Running,
    asked: &[(&str, Value, String)],
    clients: usize,
    each: usize,
    seed: u64,
) -> (Vec<f64>, usize) {
    let (times, busy) = (Mutex::new(Vec::new()), Mutex::new(0));
    std::thread::scope(|scope| {
        for client in 0..clients {
            let (times, busy) = (&times, &busy);
            scope.spawn(move || {
                let mut rng = SmallRng::seed_from_u64(seed + client as u64);
                for _ in 0..each {
                    let (path, body, expected) = &asked[rng.random_range(0..asked.len())];
                    let start = Instant::now();
                    let (status, answer) = server.post(path, body);
                    let time = start.elapsed().as_secs_f64() * 1e3;
                    match status {
                        200 => {
                            assert_eq!(&sentence(&answer), expected, "{path}");
                            times.lock().unwrap().push(time);
                        }
                        503 => {
                            let code = answer["error"]["code"].as_str().unwrap();
                            assert!(["queue_full", "uploads_full"].contains(&code), "{answer}");
                            *busy.lock().unwrap() += 1;
                        }
                        _ => panic!("{path} {status} {answer}"),
                    }
                }
            });
        }
    });
    let mut times = times.into_inner().unwrap();
    times.sort_by(f64::total_cmp);
    (times, busy.into_inner().unwrap())
}

#[test]
fn all_are_answered_within_steady_memory() {
    let (clients, each) = (
        variable("ANYREF_TEST_CLIENTS", 8),
        variable("ANYREF_TEST_REQUESTS", 20),
    );
    let server = Running::of_program(ServerOptions::default());
    let pictures = [
        (demo("scene1.jpg"), [256, 256]),
        (
            resized("scene2.jpg", 1600, 1200, ImageFormat::Jpeg),
            [1600, 1200],
        ),
        (resized("scene3.jpg", 90, 40, ImageFormat::Png), [90, 40]),
        (
            resized("scene4.jpg", 320, 640, ImageFormat::WebP),
            [320, 640],
        ),
    ];
    let asked = pictures.iter().flat_map(|(file, size)| {
        let id = upload(&server, file);
        requests(&id, file, *size)
    });
    // Each alone says what each must answer among others.
    let asked: Vec<(&str, Value, String)> = asked
        .map(|(path, body)| {
            let (status, answer) = server.post(path, &body);
            assert_eq!(status, 200, "{path} {answer}");
            let expected = sentence(&answer);
            (path, body, expected)
        })
        .collect();
    ask(&server, &asked, clients, each.div_ceil(2), 1);
    let warm = server.metric("anyref_memory_bytes");
    let start = Instant::now();
    let (times, busy) = ask(&server, &asked, clients, each, 1000);
    let seconds = start.elapsed().as_secs_f64();
    let end = server.metric("anyref_memory_bytes");
    println!(
        "{clients} clients x {each} requests: {} answers, {busy} refusals by 503, {:.1} a second",
        times.len(),
        times.len() as f64 / seconds
    );
    println!(
        "  p50 {:.0} ms, p95 {:.0} ms, slowest {:.0} ms",
        percentile(&times, 0.5),
        percentile(&times, 0.95),
        percentile(&times, 1.0)
    );
    println!(
        "  memory {:.0} MB after warm-up, {:.0} MB at the end ({:+.1} %)",
        warm / 1e6,
        end / 1e6,
        (end / warm - 1.0) * 1e2
    );
    assert_eq!(times.len() + busy, clients * each);
    // Of this process the clients are a part, and its allocator keeps what threads freed.
    let slack = if server.is_program() { 0.0 } else { 64e6 };
    assert!(end < warm * 1.1 + slack, "{warm} bytes became {end}");
    assert_eq!(server.metric(r#"anyref_queue_length{model="nano"}"#), 0.0);
    assert_eq!(server.metric("anyref_engine_restarts_total"), 0.0);
}

#[test]
fn different_pictures_are_answered_together() {
    let count = variable("ANYREF_TEST_PICTURES", 16);
    let mut options = ServerOptions::default();
    options.limits.cache_bytes = 0;
    let server = Running::of_program(options);
    let scenes = ["scene1.jpg", "scene2.jpg", "scene3.jpg", "scene4.jpg"];
    let mut number = 0_u32;
    // What follows the end of a JPEG is ignored, so that each file is another one.
    let mut body = |choose: &str| {
        number += 1;
        let mut file = demo(scenes[number as usize % scenes.len()]);
        file.extend(number.to_le_bytes());
        json!({"picture": {"data": base64(&file)}, "choose": choose, "masks": "rle",
            "references": [{"type": "text", "text": "the animal"}]})
    };
    let timed = |bodies: Vec<Value>, clients: usize| {
        let (bodies, start) = (Mutex::new(bodies), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    while let Some(body) = { bodies.lock().unwrap().pop() } {
                        server.answer("/v1/segment", &body);
                    }
                });
            }
        });
        start.elapsed()
    };
    for choose in ["likeliest", "best"] {
        timed((0..2).map(|_| body(choose)).collect(), 1);
        let (mut alone, mut together) = (Duration::ZERO, Duration::ZERO);
        // In turns, so that a change of the machine's speed meets both.
        for _ in 0..4 {
            let part = count.div_ceil(4);
            alone += timed((0..part).map(|_| body(choose)).collect(), 1);
            together += timed((0..part).map(|_| body(choose)).collect(), part.min(16));
        }
        println!(
            "{count} new pictures, {choose}: {:.1} a second one by one, {:.1} together, {:.2} x",
            count as f64 / alone.as_secs_f64(),
            count as f64 / together.as_secs_f64(),
            alone.as_secs_f64() / together.as_secs_f64()
        );
    }
    let mean = server.metric("anyref_batch_size_sum") / server.metric("anyref_batch_size_count");
    println!("  {mean:.2} questions in a batch, those one by one included");
    assert!(mean > 1.05, "{mean} questions in a batch");
}
