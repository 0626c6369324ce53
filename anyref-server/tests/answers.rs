//! Check that answers over HTTP are those of the engine.

mod common;

use std::io::Cursor;

use anyref_audio::Waveform;
use anyref_core::{
    Answer, Goal, MaskPrompt, Multimask, Prompt, Reference, ReferenceImage, Request,
};
use anyref_decoder::rle::Rle;
use anyref_server::ServerOptions;
use anyref_vision::preprocess::decode_image;
use common::{Running, agent, base64, demo, gorilla, nano};
use image::{GrayImage, ImageFormat, Luma};
use serde_json::{Value, json};

fn rle(mask: &Value) -> Rle {
    serde_json::from_value(json!({"size": mask["size"], "counts": mask["counts"]})).unwrap()
}

/// Compares words and masks.
fn check(answer: &Value, expected: &Answer) {
    assert_eq!(answer["text"], json!(expected.text));
    let masks: Vec<Rle> = answer["masks"]
        .as_array()
        .unwrap()
        .iter()
        .map(rle)
        .collect();
    let wanted: Vec<Rle> = expected.masks.iter().map(|mask| mask.rle.clone()).collect();
    assert_eq!(masks, wanted, "{answer}");
    assert_eq!(answer["left_out"], json!(expected.doubtful));
    let parts = answer["parts"].as_array().unwrap();
    let whole: String = parts
        .iter()
        .map(|part| part["text"].as_str().unwrap())
        .collect();
    assert_eq!(whole, expected.text);
}

#[test]
fn references_of_every_kind_are_answered_as_by_the_engine() {
    let server = Running::new(ServerOptions::default());
    let engine = nano();
    let image = decode_image(&demo("scene5.jpg"), "scene5").unwrap();
    let picture = engine.encode(&image).unwrap();
    let id = server.upload("scene5.jpg");
    let other = decode_image(&demo("scene5-3-1.png"), "other").unwrap();
    let sound = Waveform::decode(&demo("scene5-5-1.wav"), "a.wav").unwrap();
    let (width, height) = other.dimensions();
    let part = [1.0, 2.0, width as f32 - 3.0, height as f32 - 1.0];
    let picture_data = base64(&demo("scene5-3-1.png"));
    let sound_data = format!("data:audio/wav;base64,{}", base64(&demo("scene5-5-1.wav")));
    let region = [17.9, 38.1, 93.7, 97.4];
    let (width, height) = picture.size();
    let mask = GrayImage::from_fn(width, height, |x, y| {
        Luma([255 * u8::from((18..94).contains(&x) && (39..97).contains(&y))])
    });
    let mut file = Cursor::new(Vec::new());
    mask.write_to(&mut file, ImageFormat::Png).unwrap();
    let mask_data = base64(file.get_ref());
    // nano reads the box around a mask.
    let around = Reference::of_mask(&mask).unwrap();
    let around = Reference::Box(around.region().unwrap());
    let asked: [(Value, Option<&str>, Vec<Reference>); 6] = [
        (
            json!([{"type": "mask", "mask": mask_data}]),
            None,
            vec![around],
        ),
        (
            json!([{"type": "text", "text": "the rabbit"}]),
            None,
            vec![Reference::Text("the rabbit".into())],
        ),
        (
            json!([{"type": "box", "box": region}]),
            None,
            vec![Reference::Box(region)],
        ),
        (
            json!([{"type": "picture", "data": picture_data, "box": part}]),
            None,
            vec![Reference::Image(
                ReferenceImage::cropped(&other, part).unwrap(),
            )],
        ),
        (
            json!([{"type": "sound", "data": sound_data}]),
            None,
            vec![Reference::Audio(sound.clone())],
        ),
        (
            json!([{"type": "sound", "data": sound_data}, {"type": "box", "box": region}]),
            Some("Can you segment the thing that makes {1}, right of {2} in this image?"),
            vec![Reference::Audio(sound), Reference::Box(region)],
        ),
    ];
    for (references, question, expected) in asked {
        let body = json!({"picture": id, "question": question, "references": references});
        let answer = server.answer("/v1/segment", &body);
        let prompt = Prompt {
            question: question.map(str::to_owned),
            references: expected,
        };
        check(&answer, &engine.segment(&picture, &prompt).unwrap());
        assert!(answer["timing_ms"]["total"].as_f64().unwrap() > 0.0);
    }
    // Likeliest answer of each kind of call.
    let prompt = Prompt::new([Reference::Box(region)]);
    let goal = Goal::Chat;
    let request = Request {
        picture: &picture,
        prompt: &prompt,
        goal,
    };
    let likeliest = engine.answer(&[request]).remove(0).unwrap();
    let mut body = json!({"picture": id, "references": [{"type": "box", "box": region}]});
    check(&server.answer("/v1/chat", &body), &likeliest);
    body["choose"] = json!("likeliest");
    check(&server.answer("/v1/segment", &body), &likeliest);
}

#[test]
fn descriptions_come_with_the_mask_of_their_box() {
    let server = Running::new(ServerOptions::default());
    let engine = nano();
    let image = decode_image(&demo("scene1.jpg"), "scene1").unwrap();
    let picture = engine.encode(&image).unwrap();
    let region = [108.4, 52.4, 204.9, 171.0];
    let prompt = Prompt::new([Reference::Box(region)]);
    let described = engine.describe(&picture, &prompt).unwrap();
    let located = engine.segment(&picture, &prompt).unwrap();
    let data = base64(&demo("scene1.jpg"));
    let mut body =
        json!({"picture": {"data": data}, "references": [{"type": "box", "box": region}]});
    let answer = server.answer("/v1/describe", &body);
    assert_eq!(answer["text"], json!(described.text));
    assert_eq!(rle(&answer["masks"][0]), located.masks[0].rle);
    assert_eq!(answer["parts"][0]["mask"], 0, "{answer}");
    body["masks"] = json!("none");
    let answer = server.answer("/v1/describe", &body);
    assert_eq!(answer["text"], json!(described.text));
    assert_eq!(answer["masks"], json!([]));
}

#[test]
fn points_become_masks_that_further_points_refine() {
    let server = Running::new(ServerOptions::default());
    let engine = nano();
    let image = decode_image(&demo("scene1.jpg"), "scene1").unwrap();
    let picture = engine.encode(&image).unwrap();
    let id = server.upload("scene1.jpg");
    let mut body = json!({"picture": id, "points": [[160, 100]]});
    let answer = server.answer("/v1/masks", &body);
    let prompt = MaskPrompt::default().with_point(160.0, 100.0, true);
    let predict = |prompt: &MaskPrompt| {
        let prompts = std::slice::from_ref(prompt);
        engine
            .prompt_masks(&picture, prompts, Multimask::WhereAmbiguous)
            .unwrap()
            .remove(0)
    };
    let first = predict(&prompt);
    assert_eq!(answer["masks"].as_array().unwrap().len(), 1);
    assert_eq!(rle(&answer["masks"][0]), first.best().mask.rle);
    // The mask is sent back with another point.
    body["low_res"] = answer["masks"][0]["low_res"].clone();
    body["points"] = json!([[160, 100], [60, 40]]);
    body["labels"] = json!([1, 0]);
    let refined = server.answer("/v1/masks", &body);
    let prompt = prompt
        .with_point(60.0, 40.0, false)
        .with_mask(first.best().low_res.clone());
    assert_eq!(rle(&refined["masks"][0]), predict(&prompt).best().mask.rle);
    body["candidates"] = json!("all");
    assert_eq!(
        server.answer("/v1/masks", &body)["masks"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    // The run lengths of an answer's mask work too, and one of both forms is enough.
    let mask = first.best().mask.rle.clone();
    let mut body = json!({"picture": id, "points": [[160, 100]], "mask": mask});
    let prompt = MaskPrompt::default()
        .with_point(160.0, 100.0, true)
        .with_mask(mask);
    let refined = server.answer("/v1/masks", &body);
    assert_eq!(rle(&refined["masks"][0]), predict(&prompt).best().mask.rle);
    body["low_res"] = json!("AAAAAA==");
    let (status, answer) = server.post("/v1/masks", &body);
    let code = &answer["error"]["code"];
    assert_eq!((status, code), (400, &json!("mask_and_low_res")));
    // In a question, points stand for the box of their mask.
    let corners = first.best().mask.bounding_box().map(|side| side as f32);
    let expected = engine
        .segment(&picture, &Prompt::new([Reference::Box(corners)]))
        .unwrap();
    let reference = json!({"type": "points", "points": [[160, 100]]});
    let answer = server.answer(
        "/v1/segment",
        &json!({"picture": id, "references": [reference]}),
    );
    check(&answer, &expected);
}

#[test]
fn masks_are_written_in_every_form() {
    let server = Running::new(ServerOptions::default());
    let id = server.upload("scene1.jpg");
    let mut body = gorilla(&id);
    let mask = rle(&server.answer("/v1/segment", &body)["masks"][0]);
    body["masks"] = json!("polygons");
    let polygons = server.answer("/v1/segment", &body)["masks"][0]["polygons"].clone();
    // Area by the corners: rings around, less the holes.
    let area: f64 = polygons
        .as_array()
        .unwrap()
        .iter()
        .map(|ring| {
            let ring: Vec<f64> = serde_json::from_value(ring.clone()).unwrap();
            let corners: Vec<(f64, f64)> = ring.chunks(2).map(|c| (c[0], c[1])).collect();
            let sides = corners.iter().zip(corners.iter().cycle().skip(1));
            sides
                .map(|(a, b)| (a.0 * b.1 - b.0 * a.1) / 2.0)
                .sum::<f64>()
        })
        .sum();
    assert_eq!(area, mask.area() as f64);
    // A mask as a PNG, and as run lengths, serves as a prompt as its points do.
    body["masks"] = json!("png");
    let png = server.answer("/v1/segment", &body)["masks"][0]["png"].clone();
    assert!(
        png.as_str().unwrap().starts_with("data:image/png;base64,"),
        "{png}"
    );
    let data = base64(&demo("scene1.jpg"));
    let ask = |mask: Value| {
        let reference = json!({"type": "picture", "data": data, "mask": mask});
        server.answer(
            "/v1/segment",
            &json!({"picture": id, "references": [reference]}),
        )
    };
    let (by_png, by_rle) = (ask(png), ask(json!(mask)));
    assert_eq!(by_png["masks"], by_rle["masks"]);
    assert_eq!(by_png["text"], "gorilla.");
}

/// Events of a streamed answer.
fn streamed(server: &Running, path: &str, body: &Value) -> Vec<(String, Value)> {
    let request = agent()
        .post(&server.url(path))
        .set("Content-Type", "application/json");
    let (status, text) = server.send(request, body.to_string().as_bytes());
    assert_eq!(status, 200, "{text}");
    events(&text)
}

#[test]
fn several_masks_are_streamed_in_any_format_or_not_at_all() {
    let server = Running::new(ServerOptions::default());
    let id = server.upload("scene1.jpg");
    let words = "Can you segment the gorilla and the tree in this image?";
    for (path, format, field) in [
        ("/v1/chat", "rle", Some("counts")),
        ("/v1/chat", "png", Some("png")),
        ("/v1/segment", "polygons", Some("polygons")),
        ("/v1/chat", "none", None),
    ] {
        let mut body = json!({"picture": id, "question": words, "masks": format, "stream": true});
        if path == "/v1/segment" {
            body["choose"] = json!("likeliest");
        }
        let found = streamed(&server, path, &body);
        let last = &found.last().unwrap().1;
        let early = found.iter().filter(|(name, _)| name == "mask");
        let early: Vec<&Value> = early.map(|(_, mask)| mask).collect();
        assert_eq!(early.len(), last["masks"].as_array().unwrap().len());
        assert_eq!(early.is_empty(), field.is_none(), "{last}");
        let Some(field) = field else {
            continue;
        };
        for (number, mask) in early.into_iter().enumerate() {
            assert_eq!(mask["number"], number);
            assert_eq!(mask[field], last["masks"][number][field]);
            assert_eq!(mask["score"], last["masks"][number]["score"]);
        }
        // As without a stream.
        body["stream"] = json!(false);
        let whole = server.answer(path, &body);
        assert_eq!(whole["text"], last["text"]);
        assert_eq!(whole["parts"], last["parts"]);
        // Masks decoded together differ from single ones by rounding.
        let area = |answer: &Value| answer["masks"][0]["area"].as_f64().unwrap();
        assert!((area(&whole) - area(last)).abs() < 0.01 * area(last));
    }
}

#[test]
fn explanations_have_shares_that_sum_to_one() {
    let server = Running::new(ServerOptions::default());
    let mut body = gorilla(&server.upload("scene1.jpg"));
    body["explain"] = json!(true);
    let answer = server.answer("/v1/segment", &body);
    let explanation = &answer["explanations"][0];
    let sum = |list: &Value, field: Option<&str>| -> f64 {
        let values = list.as_array().unwrap().iter();
        values
            .map(|v| field.map_or(v, |field| &v[field]).as_f64().unwrap())
            .sum()
    };
    let patches = sum(&explanation["patches"], None);
    let all = patches
        + sum(&explanation["words"], Some("attention"))
        + sum(&explanation["references"], None);
    assert!((all - 1.0).abs() < 1e-3, "{all}");
    assert!((patches - explanation["picture"].as_f64().unwrap()).abs() < 1e-3);
    let side = explanation["side"].as_u64().unwrap();
    assert_eq!(
        explanation["patches"].as_array().unwrap().len() as u64,
        side * side
    );
}

/// Names and contents of events.
fn events(text: &str) -> Vec<(String, Value)> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    blocks
        .map(|block| {
            let data = field(block, "data:");
            (
                field(block, "event:"),
                serde_json::from_str(&data).unwrap_or(Value::String(data)),
            )
        })
        .collect()
}

#[test]
fn words_are_streamed_and_conversations_go_on() {
    let server = Running::new(ServerOptions::default());
    let id = server.upload("scene1.jpg");
    let mut body = gorilla(&id);
    body["stream"] = json!(true);
    let request = || {
        agent()
            .post(&server.url("/v1/chat"))
            .set("Content-Type", "application/json")
    };
    let (status, text) = server.send(request(), body.to_string().as_bytes());
    assert_eq!(status, 200);
    let found = events(&text);
    let (last, pieces) = found.split_last().unwrap();
    assert_eq!(last.0, "final");
    let (masks, pieces): (Vec<_>, Vec<_>) = pieces.iter().partition(|(name, _)| name == "mask");
    assert!(
        pieces.len() > 1 && pieces.iter().all(|(name, _)| name == "text"),
        "{text}"
    );
    let words: String = pieces
        .iter()
        .map(|(_, piece)| piece["text"].as_str().unwrap())
        .collect();
    assert_eq!(json!(words.trim()), last.1["text"]);
    // The mask comes when its words have been written, before the full stop.
    let [(_, mask)] = masks[..] else {
        panic!("{text}");
    };
    assert_eq!(mask["number"], 0);
    assert_eq!(mask["counts"], last.1["masks"][0]["counts"]);
    let before = text.split("event: mask").next().unwrap();
    assert!(before.contains("event: text") && !before.contains(r#"{"text":"."}"#));
    // Next turn.
    body["stream"] = json!(false);
    body["conversation"] = last.1["conversation"].clone();
    let answer = server.answer("/v1/chat", &body);
    assert_eq!(answer["conversation"], body["conversation"]);
    assert_eq!(answer["masks"], last.1["masks"]);
    // Turns about another picture, or of an unknown conversation.
    let other = gorilla(&server.upload("scene2.jpg"));
    let mut wrong = other.clone();
    wrong["conversation"] = body["conversation"].clone();
    assert_eq!(
        server.post("/v1/chat", &wrong).1["error"]["code"],
        "other_picture"
    );
    wrong["conversation"] = json!("con_0");
    let (status, answer) = server.post("/v1/chat", &wrong);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (404, &json!("conversation_not_found"))
    );
    // Conversations are deleted with their picture.
    let request = agent().delete(&server.url(&format!("/v1/pictures/{id}")));
    assert_eq!(server.send(request, &[]).0, 204);
    assert_eq!(server.post("/v1/chat", &body).0, 404);
    // An answer chosen among several comes at once.
    body = gorilla(&server.upload("scene1.jpg"));
    body["stream"] = json!(true);
    let request = agent()
        .post(&server.url("/v1/segment"))
        .set("Content-Type", "application/json");
    let (_, text) = server.send(request, body.to_string().as_bytes());
    let names: Vec<String> = events(&text).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["final"]);
    // An error in a stream says as much as one without a stream.
    body["picture"] = json!("pic_0");
    let request = agent()
        .post(&server.url("/v1/segment"))
        .set("Content-Type", "application/json");
    let (_, text) = server.send(request, body.to_string().as_bytes());
    let (name, error) = events(&text).remove(0);
    assert_eq!(
        (name.as_str(), &error["error"]["code"]),
        ("error", &json!("picture_not_found"))
    );
}

#[test]
fn openai_s_form_is_answered() {
    let server = Running::new(ServerOptions::default());
    let picture = format!("data:image/jpeg;base64,{}", base64(&demo("scene1.jpg")));
    let content = json!([
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "input_audio", "input_audio": {"data": base64(&demo("scene1-4-1.wav")), "format": "wav"}},
    ]);
    let mut body = json!({"model": "nano", "messages": [{"role": "user", "content": content}]});
    let answer = server.answer("/v1/chat/completions", &body);
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "gorilla.");
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert!(rle(&message["anyref"]["masks"][0]).area() > 1000);
    body["stream"] = json!(true);
    let request = agent()
        .post(&server.url("/v1/chat/completions"))
        .set("Content-Type", "application/json");
    let (_, text) = server.send(request, body.to_string().as_bytes());
    let found = events(&text);
    assert_eq!(found.last().unwrap().1, "[DONE]");
    let chunks = &found[..found.len() - 1];
    let words: String = chunks
        .iter()
        .filter_map(|(_, chunk)| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(words.trim(), "gorilla.");
    assert_eq!(chunks[0].1["choices"][0]["delta"]["role"], "assistant");
    let last = &chunks.last().unwrap().1["choices"][0];
    assert!(rle(&last["delta"]["anyref"]["masks"][0]).area() > 1000);
    let early = chunks.iter().filter_map(|(_, chunk)| {
        let mask = &chunk["choices"][0]["delta"]["anyref_mask"];
        mask.is_object().then(|| mask["counts"].clone())
    });
    let masks = &last["delta"]["anyref"]["masks"];
    assert_eq!(early.collect::<Vec<_>>(), [masks[0]["counts"].clone()]);
    // At most one token.
    body["stream"] = json!(false);
    body["max_tokens"] = json!(1);
    let answer = server.answer("/v1/chat/completions", &body);
    assert_eq!(answer["choices"][0]["finish_reason"], "length", "{answer}");
    let (status, models) = server.get("/v1/models");
    assert_eq!(status, 200);
    let models: Value = serde_json::from_str(&models).unwrap();
    assert_eq!(models["data"][0]["id"], "nano");
}

#[test]
fn pictures_are_kept_in_bounds_and_encoded_once() {
    let mut options = ServerOptions::default();
    options.limits.cache_bytes = 7 << 20;
    let server = Running::new(options);
    let first = server.upload("scene1.jpg");
    assert_eq!(server.upload("scene1.jpg"), first);
    let kept = server.metric(r#"anyref_picture_cache_bytes{model="nano"}"#);
    server.upload("scene2.jpg");
    assert_eq!(
        server.metric(r#"anyref_picture_cache_bytes{model="nano"}"#),
        2.0 * kept
    );
    // The one that was used last stays.
    server.answer("/v1/segment", &gorilla(&first));
    server.upload("scene3.jpg");
    assert_eq!(
        server.metric(r#"anyref_picture_cache_pictures{model="nano"}"#),
        2.0
    );
    server.answer("/v1/segment", &gorilla(&first));
    server.upload("scene4.jpg");
    server.upload("scene5.jpg");
    let (status, answer) = server.post("/v1/segment", &gorilla(&first));
    assert_eq!(
        (status, &answer["error"]["code"]),
        (404, &json!("picture_not_found"))
    );
    assert!(server.metric(r#"anyref_picture_cache_bytes{model="nano"}"#) <= (7 << 20) as f64);
}
