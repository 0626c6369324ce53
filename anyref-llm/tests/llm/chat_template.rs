//! Chat templates compared with transformers (`fixtures/export_qwen2.py`).

use std::path::{Path, PathBuf};

use anyref_llm::conversation::Conversation;
use anyref_llm::{ChatMessage, ChatTemplate};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn json(name: &str) -> Value {
    let text = std::fs::read_to_string(fixtures().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn messages(chat: &Value) -> Vec<ChatMessage> {
    serde_json::from_value(chat.clone()).unwrap()
}

#[test]
fn strings_are_those_of_transformers() {
    let golden = json("chat_templates.json");
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 30);
    let (mut refused, mut wrong) = (0, Vec::new());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let source = golden["templates"][name].as_str().unwrap();
        let template = ChatTemplate::new(source)
            .unwrap()
            .with_special_token("bos_token", golden["tokens"]["bos_token"].as_str().unwrap())
            .with_special_token("eos_token", golden["tokens"]["eos_token"].as_str().unwrap());
        let prompt = case["prompt"].as_bool().unwrap();
        match (
            template.render(&messages(&case["chat"]), prompt),
            case["expected"].as_str(),
        ) {
            (Ok(found), Some(expected)) if found == expected => {}
            (Err(error), None) => {
                refused += 1;
                assert!(
                    error.to_string().contains("roles must alternate"),
                    "{error}"
                );
            }
            (found, expected) => wrong.push(format!("{name}: {found:?}, not {expected:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 0);
}

#[test]
fn a_folders_template_is_found() {
    let golden = json("qwen2/golden.json");
    let chat = messages(&json("chat_templates.json")["cases"][2]["chat"]);
    let template = ChatTemplate::from_folder(fixtures().join("qwen2"))
        .unwrap()
        .unwrap();
    assert_eq!(
        template.render(&chat, true).unwrap(),
        golden["chat"].as_str().unwrap()
    );
    assert!(
        ChatTemplate::from_folder(fixtures().join("gguf"))
            .unwrap()
            .is_none()
    );

    let folder = tempfile::tempdir().unwrap();
    let config = r#"{"chat_template": [{"name": "rag", "template": "no"},
        {"name": "default", "template": "{{ eos_token }}{{ bos_token }}"}],
        "eos_token": {"content": "<end>", "lstrip": false}, "bos_token": null}"#;
    std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    let template = ChatTemplate::from_folder(folder.path()).unwrap().unwrap();
    assert_eq!(template.render(&chat, true).unwrap(), "<end>");
    std::fs::write(
        folder.path().join("chat_template.jinja"),
        "own {{ eos_token }}\n",
    )
    .unwrap();
    let template = ChatTemplate::from_folder(folder.path()).unwrap().unwrap();
    assert_eq!(template.render(&chat, true).unwrap(), "own <end>");
}

#[test]
fn templates_that_loop_or_are_damaged_are_refused_by_one_line() {
    let chat = [ChatMessage::new("user", "Hi")];
    let folder = tempfile::tempdir().unwrap();
    let refused = |source: &str| {
        std::fs::write(folder.path().join("chat_template.jinja"), source).unwrap();
        let rendered = ChatTemplate::from_folder(folder.path())
            .and_then(|template| template.unwrap().render(&chat, true));
        let line = rendered.unwrap_err().to_string();
        assert!(
            !line.contains('\n') && line.contains("chat_template.jinja"),
            "{line}"
        );
        line
    };
    for endless in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{{ 'a' * 99999999 }}",
    ] {
        assert!(refused(endless).contains("does not end"), "{endless}");
    }
    refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}");
    assert!(refused("{% for message in messages %}").contains("syntax"));
    refused("{{ messages[0].content.no_such_method() }}");
    let long = " ".repeat((1 << 20) + 1);
    assert!(
        ChatTemplate::new(long)
            .unwrap_err()
            .to_string()
            .contains("1048577")
    );
}

#[test]
fn templates_of_sa2va_by_name() {
    let chatml = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
    for name in ["qwen_chat", "internlm2_chat", "qwen-chat"] {
        let template = Conversation::by_name(name).unwrap();
        assert_eq!(template.clone().ask("Hi").open().prompt(), chatml);
        assert_eq!(template.stop_words[0], "<|im_end|>");
        let pieces = template
            .ask("Hi")
            .answer("Sure, [SEG].")
            .ask("And?")
            .open()
            .pieces();
        assert_eq!(pieces[0].text, chatml);
        assert_eq!(pieces[1].text, "Sure, [SEG].<|im_end|>\n");
        assert!(pieces[1].answer && !pieces[2].answer);
        assert_eq!(pieces[2].text, chatml.replace("Hi", "And?"));
    }
    let phi = Conversation::by_name("phi3_chat").unwrap();
    assert_eq!(
        phi.ask("Hi").answer("Yes").ask("No").open().prompt(),
        "<|user|>\nHi<|end|>\n<|assistant|>\nYes<|end|>\n<|user|>\nNo<|end|>\n<|assistant|>\n"
    );
    assert_eq!(
        Conversation::by_name("llava_v1").unwrap(),
        anyref_llm::conversation::llava_v1()
    );
    let error = Conversation::by_name("vicuna").unwrap_err().to_string();
    assert!(
        error.contains("vicuna") && error.contains("phi3_chat"),
        "{error}"
    );
}
