//! Check that a session answers the API's JSON, keeps pictures and conversations, and reports
//! errors.

use anyref_core::{Goal, ModelFiles};
use anyref_web::Session;
use pollster::block_on;

macro_rules! asset {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/", $name))
    };
}

fn session() -> Session {
    let files = ModelFiles {
        config: asset!("nano/config.json"),
        tokenizer: asset!("nano/tokenizer.json"),
        weights: asset!("nano/model.safetensors"),
    };
    Session::load(files, "gorilla\n\nyak\n").unwrap()
}

#[test]
fn questions_about_a_kept_picture_are_answered() {
    let mut session = session();
    assert_eq!(session.name(), "nano");
    assert_eq!(session.info().knows, ["gorilla", "yak"]);
    let picture = block_on(session.encode(asset!("demo/scene1.jpg"))).unwrap();
    assert_eq!((picture.width, picture.height), (256, 256));
    let id = &picture.id;
    let question = |more: &str| serde_json::from_str(&format!(r#"{{"picture": "{id}", {more}}}"#));
    let text = question(r#""references": [{"type": "text", "text": "the gorilla"}]"#).unwrap();
    let answer = block_on(session.ask(Goal::Segment, &text, &mut |_| {})).unwrap();
    assert_eq!((answer.text.as_str(), answer.masks.len()), ("gorilla.", 1));

    let mut pieces = String::new();
    let chat = question(r#""question": "Can you segment the gorilla in this image?""#).unwrap();
    let mut heard = |piece: &str| pieces.push_str(piece);
    let first = block_on(session.ask(Goal::Chat, &chat, &mut heard)).unwrap();
    assert_eq!(pieces, first.text);
    let conversation = first.conversation.unwrap();
    let next = question(&format!(
        r#""question": "the grapes", "conversation": "{conversation}""#
    ));
    let second = block_on(session.ask(Goal::Chat, &next.unwrap(), &mut |_| {})).unwrap();
    assert_eq!(second.conversation, Some(conversation));
}

#[test]
fn faults_are_those_of_the_api() {
    let mut session = session();
    let code = |json: &str, session: &mut Session| {
        let input = serde_json::from_str(json).unwrap();
        block_on(session.ask(Goal::Segment, &input, &mut |_| {}))
            .unwrap_err()
            .code
    };
    let other = r#"{"picture": "pic_1", "references": []}"#;
    assert_eq!(code(other, &mut session), "picture_not_found");
    let model = r#"{"model": "other", "picture": "pic_1", "references": []}"#;
    assert_eq!(code(model, &mut session), "model_not_found");
    let unreadable = block_on(session.encode(b"no picture")).unwrap_err();
    assert_eq!(unreadable.code, "picture_unreadable");
    let picture = block_on(session.encode(asset!("demo/scene1.jpg"))).unwrap();
    let outside = format!(
        r#"{{"picture": "{}", "references": [{{"type": "box", "box": [0, 0, 300, 10]}}]}}"#,
        picture.id
    );
    assert_eq!(code(&outside, &mut session), "box_outside");
}
