//! Several models behind one server: asked by name, loaded when they are asked, dropped for others.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyref_core::Error as ModelError;
use anyref_server::{Error, Limits, ServedModel, Server, ServerOptions};
use common::told::{begin, obedient, wait_for};
use common::{Running, agent, demo, gorilla, nano};
use serde_json::{Value, json};

/// The shipped model under a name, and how often it was loaded.
fn counted(name: &str) -> (ServedModel, Arc<AtomicUsize>) {
    let loads = Arc::new(AtomicUsize::new(0));
    let counter = loads.clone();
    let load = move || {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(nano())
    };
    let model = ServedModel {
        name: Some(name.into()),
        load: Arc::new(load),
        known: vec![format!("thing of {name}")],
    };
    (model, loads)
}

/// Uploads a demo picture for a model; its identifier.
fn upload(server: &Running, model: &str) -> String {
    let url = server.url(&format!("/v1/pictures?model={model}"));
    let (status, text) = server.send(agent().post(&url), &demo("scene1.jpg"));
    assert_eq!(status, 201, "{text}");
    let picture: Value = serde_json::from_str(&text).unwrap();
    picture["id"].as_str().unwrap().to_owned()
}

/// The gorilla, asked of a model.
fn asked(model: &str, picture: &str) -> Value {
    let mut question = gorilla(picture);
    question["model"] = model.into();
    question
}

/// Names of the models, and whether each is loaded.
fn loaded(server: &Running) -> Vec<(String, bool)> {
    let (_, text) = server.get("/v1/models");
    let list: Value = serde_json::from_str(&text).unwrap();
    let of = |model: &Value| {
        let name = model["id"].as_str().unwrap().to_owned();
        (name, model["loaded"].as_bool().unwrap())
    };
    list["data"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn models_are_asked_by_name_and_loaded_once_when_they_are() {
    let ((near, near_loads), (far, far_loads)) = (counted("near"), counted("far"));
    let server = Running::of(vec![near, far], ServerOptions::default());
    assert_eq!(
        loaded(&server),
        [("near".into(), true), ("far".into(), false)]
    );
    let (_, list) = server.get("/v1/models");
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["data"][0]["anyref"]["knows"], json!(["thing of near"]));
    assert_eq!(list["data"][1]["anyref"], Value::Null);

    let here = server.upload("scene1.jpg");
    let expected = server.answer("/v1/segment", &gorilla(&here));
    assert_eq!(expected["model"], "near");
    assert_eq!(far_loads.load(Ordering::SeqCst), 0);

    // Each model has pictures of its own.
    let (status, answer) = server.post("/v1/segment", &asked("far", &here));
    assert_eq!(status, 404, "{answer}");
    assert_eq!(answer["error"]["code"], "picture_not_found");
    let there = upload(&server, "far");
    assert_eq!(there, here, "a file has one identifier");
    for _ in 0..2 {
        let answer = server.answer("/v1/segment", &asked("far", &there));
        assert_eq!(answer["model"], "far");
        assert_eq!(answer["text"], expected["text"]);
        assert_eq!(answer["masks"], expected["masks"]);
    }
    let masks = json!({"model": "far", "picture": there, "points": [[160, 110]]});
    assert_eq!(server.answer("/v1/masks", &masks)["model"], "far");
    assert_eq!(near_loads.load(Ordering::SeqCst), 1);
    assert_eq!(far_loads.load(Ordering::SeqCst), 1);
    assert_eq!(loaded(&server)[1], ("far".into(), true));

    let data = common::base64(&demo("scene1.jpg"));
    let mut completion = json!({"model": "far", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": format!("data:;base64,{data}")}},
        {"type": "text", "text": "Can you segment the gorilla in this image?"},
    ]}]});
    let answer = server.answer("/v1/chat/completions", &completion);
    assert_eq!(answer["model"], "far");
    completion["model"] = "other".into();
    for (path, body) in [
        ("/v1/chat/completions", completion),
        ("/v1/segment", asked("other", &here)),
    ] {
        let (status, answer) = server.post(path, &body);
        assert_eq!(status, 404, "{answer}");
        assert_eq!(answer["error"]["code"], "model_not_found");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("near or far"), "{message}");
    }
}

#[test]
fn beyond_the_budget_the_model_not_asked_for_longest_is_dropped() {
    let bytes = nano().info().bytes();
    let ((one, one_loads), (two, two_loads), (three, _)) =
        (counted("one"), counted("two"), counted("three"));
    let limits = Limits {
        model_bytes: Some(bytes * 5 / 2),
        ..Limits::default()
    };
    let options = ServerOptions {
        limits,
        ..ServerOptions::default()
    };
    let server = Running::of(vec![one, two, three], options);
    let names = |expected: [bool; 3]| {
        ["one", "two", "three"]
            .map(String::from)
            .into_iter()
            .zip(expected)
            .collect::<Vec<_>>()
    };
    upload(&server, "two");
    assert_eq!(loaded(&server), names([true, true, false]));
    // The first one is asked last but one, so that the second has to go.
    let kept = upload(&server, "one");
    upload(&server, "three");
    assert_eq!(loaded(&server), names([true, false, true]));
    let size = |name: &str| server.metric(&format!("anyref_model_bytes{{model=\"{name}\"}}"));
    assert_eq!([size("one"), size("two")], [bytes as f64, 0.0]);
    assert_eq!(
        server.answer("/v1/segment", &asked("one", &kept))["model"],
        "one"
    );

    // A dropped model forgets its pictures, and answers again once it is asked.
    let (status, _) = server.post("/v1/segment", &asked("two", &kept));
    assert_eq!(status, 404);
    let again = upload(&server, "two");
    let answer = server.answer("/v1/segment", &asked("two", &again));
    assert_eq!(answer["text"], "gorilla.");
    assert_eq!(two_loads.load(Ordering::SeqCst), 2);
    assert_eq!(one_loads.load(Ordering::SeqCst), 1);
    assert_eq!(
        loaded(&server).iter().filter(|(_, loaded)| *loaded).count(),
        2
    );
}

#[test]
fn a_busy_model_stays_when_the_room_is_no_longer_needed() {
    let bytes = nano().info().bytes();
    let ((load, orders), (two, _), (three, _)) = (obedient(), counted("two"), counted("three"));
    let one = ServedModel {
        name: Some("one".into()),
        load,
        known: Vec::new(),
    };
    let limits = Limits {
        model_bytes: Some(bytes * 5 / 2),
        rest: Duration::from_millis(300),
        ..Limits::default()
    };
    let options = ServerOptions {
        limits,
        ..ServerOptions::default()
    };
    let server = Running::of(vec![one, two, three], options);
    let kept = upload(&server, "one");
    orders.slow.store(true, Ordering::Relaxed);
    let running = begin(&server, &gorilla(&kept));
    wait_for("the first is asked", || {
        server.metric("anyref_batch_size_count") == 1.0
    });
    upload(&server, "two");
    // The third takes more than the budget: the first, not asked for longest, is busy, and the
    // second goes instead.
    upload(&server, "three");
    let names = |expected: [bool; 3]| {
        let names = ["one", "two", "three"].map(String::from);
        names.into_iter().zip(expected).collect::<Vec<_>>()
    };
    wait_for("the second is dropped", || {
        loaded(&server) == names([true, false, true])
    });
    orders.slow.store(false, Ordering::Relaxed);
    let mut answer = [0; 12];
    std::io::Read::read_exact(&mut { running }, &mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // The first is idle now, with room for it: it keeps its pictures and is not loaded again.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(loaded(&server), names([true, false, true]));
    let answer = server.answer("/v1/segment", &asked("one", &kept));
    assert_eq!(answer["text"], "gorilla.");
    assert_eq!(orders.loads.load(Ordering::Relaxed), 1);
}

#[test]
fn a_model_that_does_not_load_leaves_the_others_alone() {
    let (good, _) = counted("good");
    let bad = ServedModel {
        name: Some("bad".into()),
        load: Arc::new(|| Err(ModelError::EmptyPicture)),
        known: Vec::new(),
    };
    let server = Running::of(vec![good, bad], ServerOptions::default());
    for _ in 0..2 {
        let url = server.url("/v1/pictures?model=bad");
        let (status, text) = server.send(agent().post(&url), &demo("scene1.jpg"));
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("model_not_loaded"), "{text}");
    }
    let picture = server.upload("scene1.jpg");
    let answer = server.answer("/v1/segment", &gorilla(&picture));
    assert_eq!(answer["text"], "gorilla.");
    assert_eq!(server.get("/readyz").0, 200);
}

#[tokio::test]
async fn names_are_given_once() {
    let start = |models| Server::start(models, ServerOptions::default()).unwrap_err();
    let (one, _) = counted("one");
    let twice = start(vec![one.clone(), one.clone()]);
    assert!(matches!(twice, Error::Option { .. }), "{twice}");
    assert!(
        twice.to_string().contains("is given twice as \"one\""),
        "{twice}"
    );
    let nameless = start(vec![one.clone(), ServedModel { name: None, ..one }]);
    assert!(nameless.to_string().contains("NAME=MODEL"), "{nameless}");
    assert!(matches!(start(Vec::new()), Error::Option { .. }));
}
