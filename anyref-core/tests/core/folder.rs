//! Writing and reading of model folders, and errors about broken ones.

use std::fs;
use std::path::Path;

use anyref_core::official::Published;
use anyref_core::{
    AnyRef, AnyRefConfig, Assembly, CONFIG_FILE, ModelFiles, ModelOptions, ModelPlace, Prompt,
    Reference, TOKENIZER_FILE, WEIGHTS_FILE,
};
use anyref_llm::Tokenizer;
use anyref_llm::peft::PeftAdapter;
use burn::tensor::DType;

use crate::answers::content;
use crate::common::{TestBackend, image, pointing};

fn ask(anyref: &AnyRef<TestBackend>) -> anyref_core::Answer {
    let mut asked = Prompt::new([Reference::Box([4.0, 4.0, 30.0, 20.0])]);
    asked
        .references
        .push(Reference::Text("the red circle".into()));
    let picture = anyref.picture(&image(50, 40)).unwrap();
    anyref.segment(&picture, &asked).unwrap()
}

fn load(folder: &Path) -> anyref_core::Result<AnyRef<TestBackend>> {
    AnyRef::load(folder, &Default::default())
}

/// Loads a saved model, and restores the answer length of the tests, which is not saved.
fn reloaded(folder: &Path) -> AnyRef<TestBackend> {
    let mut anyref = load(folder).unwrap();
    anyref.generation.max_new_tokens = 6;
    anyref
}

#[test]
fn a_saved_model_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let anyref = pointing::<TestBackend>(2, 7);
    let before = ask(&anyref);
    anyref.save(folder.path(), DType::F32).unwrap();
    assert_eq!(content(&ask(&reloaded(folder.path()))), content(&before));

    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let files = ModelFiles {
        config: &read(CONFIG_FILE),
        tokenizer: &read(TOKENIZER_FILE),
        weights: read(WEIGHTS_FILE).leak(),
    };
    let mut built_in =
        AnyRef::<TestBackend>::from_files(files, ModelOptions::default(), &Default::default())
            .unwrap();
    built_in.generation.max_new_tokens = 6;
    assert_eq!(content(&ask(&built_in)), content(&before));

    let half = tempfile::tempdir().unwrap();
    anyref.save(half.path(), DType::F16).unwrap();
    let size = |folder: &Path| fs::metadata(folder.join(WEIGHTS_FILE)).unwrap().len() as f64;
    assert!(size(half.path()) < 0.6 * size(folder.path()));
    let after = ask(&reloaded(half.path()));
    assert_eq!(after.raw, before.raw);
    for (after, before) in after.masks.iter().zip(&before.masks) {
        assert!((after.score - before.score).abs() < 0.02);
        let (after, before) = (after.rle.to_mask(), before.rle.to_mask());
        let other = after.iter().zip(&before).filter(|(a, b)| a != b).count();
        assert!(
            other * 20 <= before.len(),
            "{other} of {} pixels changed",
            before.len()
        );
    }
}

#[test]
fn broken_folders_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let says = |expected: &[&str]| {
        let message = load(path).unwrap_err().to_string();
        for expected in expected {
            assert!(
                message.contains(expected),
                "{message:?} does not say {expected:?}"
            );
        }
        assert_eq!(message.lines().count(), 1, "{message:?}");
    };
    let missing = path.join("nothing");
    assert!(
        load(&missing)
            .unwrap_err()
            .to_string()
            .contains("nothing: no such model folder")
    );

    says(&[CONFIG_FILE]);
    pointing::<TestBackend>(1, 7)
        .save(path, DType::F32)
        .unwrap();
    load(path).unwrap();
    for name in [CONFIG_FILE, TOKENIZER_FILE] {
        let content = fs::read(path.join(name)).unwrap();
        fs::remove_file(path.join(name)).unwrap();
        says(&[name]);
        fs::write(path.join(name), &content[..content.len() / 2]).unwrap();
        says(&[name]);
        fs::write(path.join(name), content).unwrap();
    }
    fs::rename(path.join(WEIGHTS_FILE), path.join("kept")).unwrap();
    says(&[&path.display().to_string()]);
    fs::rename(path.join("kept"), path.join(WEIGHTS_FILE)).unwrap();
    load(path).unwrap();
}

#[test]
fn config_tokenizer_and_weights_must_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    pointing::<TestBackend>(1, 7)
        .save(path, DType::F32)
        .unwrap();
    let file = path.join(CONFIG_FILE);
    let text = fs::read_to_string(&file).unwrap();
    let with = |change: fn(&mut serde_json::Value)| {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        change(&mut config);
        fs::write(&file, config.to_string()).unwrap();
        let message = load(path).unwrap_err().to_string();
        fs::write(&file, &text).unwrap();
        message
    };
    let wider = with(|config| config["llm"]["intermediate_size"] = 96.into());
    assert!(wider.contains("mlp"), "{wider}");
    let deeper = with(|config| config["llm"]["num_hidden_layers"] = 3.into());
    assert!(deeper.contains("layers.2"), "{deeper}");
    let deaf = with(|config| config["audio"] = serde_json::Value::Null);
    assert!(deaf.contains("audio"), "{deaf}");
    let pooled = with(|config| config["reference_tokens"] = 5.into());
    assert!(pooled.contains("reference_tokens"), "{pooled}");
    load(path).unwrap();

    let file = path.join(TOKENIZER_FILE);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("<obj>", "<mask>")).unwrap();
    let message = load(path).unwrap_err().to_string();
    assert!(message.contains("\"<obj>\""), "{message}");
    let mut tokenizer = crate::common::tokenizer();
    tokenizer.add_tokens(&["<one_more>"]).unwrap();
    tokenizer.save(&file).unwrap();
    let message = load(path).unwrap_err().to_string();
    assert!(message.contains("tokens and the model knows"), "{message}");
}

/// Only programs access the network, where they read a user's argument.
#[test]
fn locations_of_the_hub_are_refused_and_not_fetched() {
    let path = Path::new("hf://org/name");
    let refused = |error: anyref_core::Error| {
        let message = error.to_string();
        assert!(message.contains("hf://org/name"), "{message}");
        assert!(message.contains("hub::local_path"), "{message}");
    };
    refused(load(path).unwrap_err());
    refused(load(Path::new("hf://org/name/parts.json")).unwrap_err());
    refused(ModelPlace::open(path).unwrap_err());
    refused(AnyRefConfig::of_folder(path).unwrap_err());
    refused(Published::open(path).unwrap_err());
    refused(Assembly::read(&path.join("parts.json")).unwrap_err());
    refused(Tokenizer::from_folder(path).unwrap_err().into());
    refused(Tokenizer::from_file(path).unwrap_err().into());
    refused(PeftAdapter::open(path).unwrap_err().into());
}
