//! Faulty requests are answered with a reason, and leave the server unchanged.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyref_server::{Access, Error, ServedModel, Server, ServerOptions};
use common::{Running, agent, base64, demo, gorilla, nano, scenes};
use serde_json::{Value, json};

#[test]
fn every_refusal_has_its_status_code_and_field() {
    let mut options = ServerOptions::default();
    options.limits.body_bytes = 1 << 20;
    options.limits.question.pixels = 100_000;
    options.limits.question.sound_seconds = 3.0;
    let server = Running::new(options);
    let id = server.upload("scene1.jpg");
    let mut large = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(400, 300)
        .write_to(&mut large, image::ImageFormat::Png)
        .unwrap();
    let large = base64(large.get_ref());
    let long = base64(&anyref_audio::Waveform::new(vec![0.5; 64_000], 16_000).to_wav());
    let silent = base64(&anyref_audio::Waveform::new(vec![0.0; 16_000], 16_000).to_wav());
    let small = base64(&demo("scene1-3-1.png"));
    let about = |references: Value| json!({"picture": id, "references": references});
    let cases = [
        ("segment", json!({}), 400, "json", None),
        (
            "segment",
            json!({"picture": id, "colour": 1}),
            400,
            "json",
            None,
        ),
        ("segment", json!({"picture": 7}), 400, "json", None),
        (
            "segment",
            json!({"picture": id}),
            400,
            "empty_question",
            None,
        ),
        (
            "segment",
            json!({"picture": id, "question": "x".repeat(5000)}),
            400,
            "question_too_long",
            Some("question"),
        ),
        (
            "segment",
            json!({"picture": "pic_0", "question": "a dog"}),
            404,
            "picture_not_found",
            Some("picture"),
        ),
        (
            "segment",
            json!({"picture": {"data": "AAAA"}, "question": "a dog"}),
            400,
            "picture_unreadable",
            Some("picture"),
        ),
        (
            "segment",
            json!({"picture": {"data": "http://localhost/a.png"}, "question": "a dog"}),
            400,
            "url",
            Some("picture"),
        ),
        (
            "segment",
            json!({"picture": {"data": "data:image/png,A"}, "question": "a dog"}),
            400,
            "base64",
            Some("picture"),
        ),
        (
            "segment",
            json!({"picture": {"data": large}, "question": "a dog"}),
            413,
            "too_many_pixels",
            Some("picture"),
        ),
        (
            "segment",
            json!({"picture": id, "question": "{2}"}),
            400,
            "placeholder",
            None,
        ),
        (
            "segment",
            json!({"picture": id, "question": "a <obj>"}),
            400,
            "placeholder",
            None,
        ),
        (
            "segment",
            about(json!([{"type": "box", "box": [0, 0, 300, 10]}])),
            400,
            "box_outside",
            Some("references[0]"),
        ),
        (
            "segment",
            about(json!([{"type": "box", "box": [9, 0, 3, 10]}])),
            400,
            "box_outside",
            Some("references[0]"),
        ),
        (
            "segment",
            about(json!([{"type": "box", "box": [0, 0, 3]}])),
            400,
            "json",
            None,
        ),
        (
            "segment",
            about(json!([{"type": "smell"}])),
            400,
            "json",
            None,
        ),
        (
            "segment",
            about(json!([{"type": "sound", "data": "AAAA"}])),
            400,
            "sound_unreadable",
            Some("references[0]"),
        ),
        (
            "segment",
            about(json!([{"type": "sound", "data": long}])),
            413,
            "sound_too_long",
            Some("references[0]"),
        ),
        (
            "segment",
            about(json!([{"type": "sound", "data": silent}])),
            400,
            "sound_unreadable",
            None,
        ),
        (
            "segment",
            about(json!([{"type": "text", "text": "a"}, {"type": "picture", "data": large}])),
            413,
            "too_many_pixels",
            Some("references[1]"),
        ),
        (
            "segment",
            about(json!([{"type": "picture", "data": small, "box": [0, 0, 999, 9]}])),
            400,
            "box_outside",
            Some("references[0]"),
        ),
        (
            "segment",
            about(json!([{"type": "picture", "data": small, "box": [0, 0, 9, 9], "mask": small}])),
            400,
            "box_and_mask",
            Some("references[0]"),
        ),
        (
            "segment",
            about(
                json!([{"type": "picture", "data": small, "mask": {"size": [2, 2], "counts": "4"}}]),
            ),
            400,
            "mask_size",
            Some("references[0]"),
        ),
        (
            "segment",
            about(json!(vec![json!({"type": "text", "text": "a"}); 17])),
            400,
            "too_many_references",
            Some("references"),
        ),
        (
            "segment",
            json!({"picture": id, "question": "a", "conversation": "x"}),
            400,
            "conversation",
            Some("conversation"),
        ),
        (
            "describe",
            json!({"picture": id, "question": "a", "explain": true}),
            400,
            "explain",
            Some("explain"),
        ),
        (
            "chat",
            json!({"picture": id, "question": "a", "choose": "best"}),
            400,
            "choose",
            Some("choose"),
        ),
        (
            "chat/completions",
            json!({"model": "gpt-4o", "messages": []}),
            404,
            "model_not_found",
            Some("model"),
        ),
        (
            "chat/completions",
            json!({"model": "nano", "messages": []}),
            400,
            "no_question",
            Some("messages"),
        ),
        (
            "chat/completions",
            json!({"model": "nano", "messages": [{"role": "user", "content": "hi"}]}),
            400,
            "no_picture",
            Some("messages"),
        ),
        (
            "chat/completions",
            json!({"model": "nano", "n": 2, "messages": []}),
            400,
            "n",
            Some("n"),
        ),
    ];
    for (path, body, status, code, param) in cases {
        let (found, answer) = server.post(&format!("/v1/{path}"), &body);
        let error = &answer["error"];
        let shown = body.to_string().chars().take(120).collect::<String>();
        assert_eq!(
            (found, error["code"].as_str()),
            (status, Some(code)),
            "{shown}: {answer}"
        );
        if let Some(param) = param {
            assert_eq!(error["param"], param, "{shown}: {answer}");
        }
        let message = error["message"].as_str().unwrap();
        assert!(!message.contains('\n') && message.len() > 10, "{message}");
        assert!(!message.contains(env!("CARGO_MANIFEST_DIR")), "{message}");
    }
    let post = |kind: &str, body: &[u8]| {
        let request = agent()
            .post(&server.url("/v1/segment"))
            .set("Content-Type", kind);
        server.send(request, body)
    };
    assert_eq!(post("text/plain", b"{}").0, 415);
    assert_eq!(post("application/json", b"{").0, 400);
    // Refused before a byte of the body is read.
    let head = "POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let answer = server.raw(format!("{head}Content-Length: 2000000\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(server.get("/v1/segment").0, 405);
    assert_eq!(server.get("/v1/nothing").0, 404);
    assert_eq!(server.get("/demo/..%2Fdemo.json").0, 404);
    assert_eq!(server.get("/demo/demo.json").0, 404, "no scenes to offer");
    assert_eq!(server.get("/etc/passwd").0, 404);
    server.answer("/v1/segment", &gorilla(&id));
}

#[test]
fn bodies_that_end_early_or_never_do_not_hold_the_server() {
    let mut options = ServerOptions::default();
    options.limits.upload = Duration::from_millis(600);
    let server = Running::new(options);
    let head = |length: usize| {
        format!("POST /v1/pictures HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
    };
    // Aborted uploads.
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(head(1000).as_bytes()).unwrap();
        stream.write_all(&[7; 100]).unwrap();
    }
    // Uploads that never end: in the body, and in the head.
    let start = Instant::now();
    let answer = server.raw(&[head(1000).as_bytes(), &[7; 100]].concat());
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let answer = server.raw(b"GET /healthz HTTP/1.1\r\nHost: loc");
    assert!(!answer.contains("200"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(5));
    // Uploads drop by drop.
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(head(1000).as_bytes()).unwrap();
    let mut sent = 0;
    while stream.write_all(b"x").is_ok() && sent < 60 {
        std::thread::sleep(Duration::from_millis(30));
        sent += 1;
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(
        answer.contains("408") || sent < 60,
        "{sent} drops: {answer}"
    );
    assert_eq!(server.get("/healthz").0, 200);
    server.answer("/v1/segment", &gorilla(&server.upload("scene1.jpg")));
}

#[test]
fn the_token_and_the_origin_are_asked_for() {
    let access = Access {
        token: Some("secret".into()),
        origins: vec!["https://friend.example".into()],
        ..Access::default()
    };
    let server = Running::new(ServerOptions {
        access,
        scenes: scenes(),
        ..ServerOptions::default()
    });
    for path in [
        "/",
        "/page.js",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/demo/demo.json",
    ] {
        assert_eq!(server.get(path).0, 200, "{path}");
    }
    for path in ["/v1/models", "/metrics", "/v1/pictures/pic_0"] {
        assert_eq!(server.get(path).0, 401, "{path}");
        for (token, status) in [
            ("wrong", 401),
            ("secret", if path.ends_with("_0") { 404 } else { 200 }),
        ] {
            let request = agent()
                .get(&server.url(path))
                .set("Authorization", &format!("Bearer {token}"));
            assert_eq!(server.send(request, &[]).0, status, "{path} {token}");
        }
    }
    let asked = |origin: &str, method: &str| {
        let request = agent()
            .request(method, &server.url("/v1/models"))
            .set("Origin", origin);
        let request = request.set("Authorization", "Bearer secret");
        let request = request.set("Access-Control-Request-Method", "GET");
        match request.call() {
            Ok(response) | Err(ureq::Error::Status(_, response)) => {
                let allowed = response
                    .header("Access-Control-Allow-Origin")
                    .map(str::to_owned);
                (response.status(), allowed)
            }
            Err(error) => panic!("{error}"),
        }
    };
    let friend = Some("https://friend.example".to_owned());
    assert_eq!(
        asked("https://friend.example", "GET"),
        (200, friend.clone())
    );
    assert_eq!(asked("https://friend.example", "OPTIONS"), (200, friend));
    assert_eq!(asked("https://evil.example", "GET").0, 403);
    assert_eq!(asked("null", "GET").0, 403);
}

#[test]
fn pages_under_other_names_are_refused_on_this_machine() {
    let server = Running::new(ServerOptions::default());
    let request = |host: &str, more: &str| {
        server.raw(
            format!("GET /v1/models HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n")
                .as_bytes(),
        )
    };
    assert!(request("localhost", "").starts_with("HTTP/1.1 200"));
    assert!(request("evil.example", "").starts_with("HTTP/1.1 403"));
    let page = request("localhost", "Origin: http://evil.example\r\n");
    assert!(page.starts_with("HTTP/1.1 403"), "{page}");
    let far = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(
        ServerOptions::default().check(far),
        Err(Error::Open(_))
    ));
}

#[test]
fn every_response_has_the_headers_of_security_and_an_id() {
    let server = Running::new(ServerOptions::default());
    for path in ["/", "/v1/models", "/v1/nothing", "/metrics"] {
        let request = agent().get(&server.url(path)).set("X-Request-Id", "mine-7");
        let response = match request.call() {
            Ok(response) | Err(ureq::Error::Status(_, response)) => response,
            Err(error) => panic!("{error}"),
        };
        let header = |name: &str| response.header(name).unwrap_or_default().to_owned();
        assert!(
            header("Content-Security-Policy").contains("default-src 'none'"),
            "{path}"
        );
        assert_eq!(header("X-Content-Type-Options"), "nosniff", "{path}");
        assert_eq!(header("X-Request-Id"), "mine-7", "{path}");
        assert_eq!(
            response.header("Access-Control-Allow-Origin"),
            None,
            "{path}"
        );
    }
    let (_, description) = server.get("/openapi.json");
    let description: Value = serde_json::from_str(&description).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [
        "/v1/pictures",
        "/v1/segment",
        "/v1/describe",
        "/v1/chat",
        "/v1/chat/completions",
    ] {
        assert!(description["paths"][path]["post"].is_object(), "{path}");
    }
    // Every schema that the description names is part of it.
    let text = description.to_string();
    for name in text.split("#/components/schemas/").skip(1) {
        let name = &name[..name.find('"').unwrap()];
        assert!(
            description["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
}

#[test]
fn a_model_that_does_not_load_is_an_error_at_the_start() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let load = || Err(anyref_core::Error::EmptyPicture);
    let failed = Server::start(
        vec![ServedModel::new(std::sync::Arc::new(load))],
        ServerOptions::default(),
    );
    assert!(matches!(failed, Err(Error::Model(_))));
    drop(nano());
}
