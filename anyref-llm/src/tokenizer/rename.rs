//! Renaming of a token of a `tokenizer.json`.

use serde_json::Value;

/// Renames a token in the content of a `tokenizer.json` and makes it an ordinary one.
pub(super) fn renamed(json: &str, from: &str, to: &str) -> serde_json::Result<String> {
    let mut tokenizer: Value = serde_json::from_str(json)?;
    if let Some(vocab) = tokenizer.pointer_mut("/model/vocab") {
        rename_piece(vocab, from, to);
    }
    let added = tokenizer.get_mut("added_tokens");
    let added = added.and_then(Value::as_array_mut);
    for token in added.into_iter().flatten() {
        if token["content"] == from {
            token["content"] = to.into();
            token["special"] = false.into();
            token["normalized"] = false.into();
        }
    }
    serde_json::to_string(&tokenizer)
}

/// Renames a piece of the model's own vocabulary, which maps pieces to ids or lists pieces with
/// scores.
fn rename_piece(vocab: &mut Value, from: &str, to: &str) {
    match vocab {
        Value::Object(ids) => {
            if let Some(id) = ids.remove(from) {
                ids.insert(to.to_owned(), id);
            }
        }
        Value::Array(pieces) => {
            for piece in pieces {
                if let Some(name) = piece.get_mut(0).filter(|name| **name == from) {
                    *name = to.into();
                }
            }
        }
        _ => {}
    }
}
