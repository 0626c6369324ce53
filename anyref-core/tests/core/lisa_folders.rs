//! LISA folders: opened once, used where they lie, and refused with the remedy where they are none.

use std::fs;
use std::path::Path;

use anyref_core::{
    AnyRef, Companions, EngineOptions, MemoryEstimate, ModelOptions, ModelPlace, ModelSource,
    load_engine,
};
use anyref_llm::Tokenizer;
use anyref_weights::{Checkpoint, OutputTensor, SaveOptions, write_checkpoint};
use burn::tensor::{DType, TensorData};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::TestBackend;
use crate::lisa::lisa;
use crate::parts::{copied, published};

#[test]
fn the_names_of_its_tensors_are_read_once() {
    let folder = copied("lisa");
    let place = ModelPlace::open(folder.path()).unwrap();
    assert!(matches!(place, ModelPlace::Published(_)));
    assert_eq!(place.path(), folder.path());
    // Whoever opened the shards again would miss it.
    fs::remove_file(folder.path().join("pytorch_model.bin.index.json")).unwrap();
    ModelPlace::open(folder.path()).unwrap_err();
    let given = Companions {
        clip: Some(published("clip")),
        ..Companions::default()
    };
    let companions = given.resolve(&place).unwrap();
    assert_eq!(companions, given);
    let (weights, device) = (Default::default(), Default::default());
    let names = AnyRef::<TestBackend>::checkpoint(&place, &companions).unwrap();
    assert!(names.get("llm.lm_head.weight").is_some());
    AnyRef::<TestBackend>::load_opened(&place, &companions, weights, &device).unwrap();
    let mut options = EngineOptions::new(ModelSource::Place(place));
    options.companions = companions;
    assert!(load_engine(&options).unwrap().info().parts.len() > 3);
}

/// Loading a copy of the folder, changed, ends in one line with these words.
fn refused(change: impl FnOnce(&Path), words: &[&str]) {
    let folder = copied("lisa");
    change(folder.path());
    let message = lisa(folder.path()).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn folders_that_are_no_lisa_are_refused_with_the_remedy() {
    refused(
        |folder| {
            for file in ["added_tokens.json", "tokenizer_config.json"] {
                edit(&folder.join(file), "[SEG]", "[MASK]");
            }
        },
        &["no token \"[SEG]\""],
    );
    refused(
        |folder| edit(&folder.join("config.json"), "\"llava\"", "\"gpt2\""),
        &["config.json", "gpt2", "llava"],
    );
    refused(
        |folder| {
            let index = folder.join("pytorch_model.bin.index.json");
            edit(
                &index,
                "model.text_hidden_fcs.0.2.bias",
                "model.text_hidden_fcs.0.9.bias",
            );
        },
        &["pytorch_model"],
    );
    // Without CLIP, and none of the name that the config has.
    let folder = copied("lisa");
    let alone = AnyRef::<TestBackend>::load(folder.path(), &Default::default());
    let message = alone.unwrap_err().to_string();
    assert!(
        message.contains("openai/clip-vit-large-patch14"),
        "{message}"
    );
    assert!(message.contains("--clip"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn a_tower_of_another_width_is_refused() {
    let folder = copied("lisa");
    let other = copied("clip");
    let companions = Companions {
        clip: Some(other.path().into()),
        ..Companions::default()
    };
    edit(&folder.path().join("config.json"), "-2", "-9");
    let loaded = AnyRef::<TestBackend>::load_beside(
        folder.path(),
        &companions,
        Default::default(),
        &Default::default(),
    );
    let message = loaded.unwrap_err().to_string();
    assert!(message.contains("layer"), "{message}");
}

/// A copy of the folder in which some tensors are zeros of another shape.
fn reshaped(names: &[&str], shape: [usize; 2]) -> TempDir {
    let folder = copied("lisa");
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let tensors = checkpoint.tensors().map(|entry| {
        let zeros = move || Ok(TensorData::zeros::<f32, _>(shape));
        match names.contains(&entry.name.as_str()) {
            true => OutputTensor::new(entry.name.clone(), DType::F32, shape, zeros),
            false => OutputTensor::from_entry(&entry.name, entry, None),
        }
    });
    let whole = folder.path().join("model.safetensors");
    write_checkpoint(&whole, tensors.collect(), &SaveOptions::default()).unwrap();
    folder
}

#[test]
fn large_tensors_are_used_where_they_lie_in_their_files() {
    // Tables of 128 kB, and SAM's patches of 16 pixels, 32 wide; what is below 64 kB is read.
    let (rows, width, patches) = (2048, 16, 32 * 3 * 16 * 16);
    let folder = reshaped(
        &["model.embed_tokens.weight", "lm_head.weight"],
        [rows, width],
    );
    let file = folder.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["vocab_size"] = rows.into();
    fs::write(&file, config.to_string()).unwrap();
    let anyref = lisa(folder.path()).unwrap();
    let place = ModelPlace::open(folder.path()).unwrap();
    let companions = Companions {
        clip: Some(published("clip")),
        ..Companions::default()
    };
    let checkpoint = AnyRef::<TestBackend>::checkpoint(&place, &companions).unwrap();
    let (options, device) = (ModelOptions::default(), Default::default());
    let AnyRef { config, model, .. } = &anyref;
    let estimate = MemoryEstimate::new(config, model, &checkpoint, options, &device).unwrap();
    let values = 2 * rows * width + patches;
    assert_eq!(estimate.weights.mapped, 4 * values as u64);
}

#[test]
fn a_head_that_does_not_fit_sam_is_refused() {
    let folder = reshaped(&["model.text_hidden_fcs.0.2.weight"], [20, 16]);
    let message = lisa(folder.path()).unwrap_err().to_string();
    assert!(message.contains("from 16 to 20"), "{message}");
    assert!(message.contains("mask decoder of 16"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn differences_to_llamas_weights_are_refused() {
    let (copy, other) = (copied("lisa"), tempfile::tempdir().unwrap());
    let folder = other.path().join("LISA-7B-delta-v0");
    fs::rename(copy.path(), &folder).unwrap();
    let message = lisa(&folder).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for words in ["LISA-7B-delta-v0", "differences", "hf://xinlai/LISA-7B-v1"] {
        assert!(message.contains(words), "no {words:?} in {message}");
    }
    // Before anything is fetched.
    let place = ModelPlace::open(&folder).unwrap_err();
    assert_eq!(place.to_string(), message);
}

#[test]
fn a_mask_token_that_the_tokenizer_takes_apart_is_refused() {
    refused(
        |folder| {
            let file = folder.join("tokenizer.json");
            Tokenizer::from_folder(folder).unwrap().save(&file).unwrap();
            let json = fs::read(&file).unwrap();
            let mut json: Value = serde_json::from_slice(&json).unwrap();
            // A word that no rule puts together, in the place of a token that is looked for first.
            let added = json["added_tokens"].as_array_mut().unwrap();
            let place = added.iter().position(|t| t["content"] == "[SEG]").unwrap();
            let id = added.remove(place)["id"].clone();
            json["model"]["vocab"]["[SEG]"] = id;
            fs::write(&file, json.to_string()).unwrap();
        },
        &["[SEG]", "takes", "apart"],
    );
}
