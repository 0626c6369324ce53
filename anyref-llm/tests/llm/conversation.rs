//! LLaVA's template, byte for byte.

use anyref_llm::conversation::{Conversation, llava_llama_2, llava_v1};

const SYSTEM: &str = "A chat between a curious human and an artificial intelligence assistant. The \
                      assistant gives helpful, detailed, and polite answers to the human's questions.";

#[test]
fn one_question() {
    let prompt = llava_v1()
        .ask("<image>\nCan you segment the dog in this image?")
        .open()
        .prompt();
    let expected =
        format!("{SYSTEM} USER: <image>\nCan you segment the dog in this image? ASSISTANT:");
    assert_eq!(prompt, expected);
    assert_eq!(SYSTEM.len(), 156);
}

#[test]
fn several_turns() {
    let conversation = llava_v1()
        .ask("Hi")
        .answer("Hello.")
        .ask("Who?")
        .answer("A dog<obj>.");
    let expected =
        format!("{SYSTEM} USER: Hi ASSISTANT: Hello.</s>USER: Who? ASSISTANT: A dog<obj>.</s>");
    assert_eq!(conversation.prompt(), expected);
    assert_eq!(llava_v1().prompt(), format!("{SYSTEM} "));
}

#[test]
fn pieces_join_to_the_prompt_and_tell_the_answers() {
    let conversation = llava_v1().ask("Hi").answer("Hello.").ask("Who?").open();
    let pieces = conversation.pieces();
    let joined: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(joined, conversation.prompt());
    let answers: Vec<_> = pieces.iter().filter(|piece| piece.answer).collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].text, " Hello.</s>");
    assert_eq!(pieces[2].text, "USER: Who? ASSISTANT:");
}

#[test]
fn other_templates_are_other_values() {
    let plain = Conversation {
        system: String::new(),
        sep: "\n".into(),
        ..llava_v1()
    };
    assert_eq!(plain.ask("Hi").open().prompt(), "\nUSER: Hi\nASSISTANT:");
}

#[test]
fn llama_2_has_its_questions_in_brackets() {
    let conversation = llava_llama_2()
        .ask("<image>\nWhat is it?")
        .answer("A dog.")
        .ask("Where?")
        .open();
    // Output of LLaVA's `SeparatorStyle.LLAMA_2`, with the first `<s>` left to the tokenizer.
    let expected = "[INST] <<SYS>>\nYou are a helpful language and vision assistant. You are able to \
                    understand the visual content that the user provides, and assist the user with \
                    a variety of tasks using natural language.\n<</SYS>>\n\n<image>\nWhat is it? \
                    [/INST] A dog. </s><s>[INST] Where? [/INST]";
    assert_eq!(conversation.prompt(), expected);
    let answers: Vec<_> = conversation
        .pieces()
        .into_iter()
        .filter(|piece| piece.answer)
        .collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].text, " A dog. </s>");
}
