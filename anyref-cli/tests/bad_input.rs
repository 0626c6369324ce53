//! Bad input ends in one line that names the file and the remedy.

mod common;

use std::fs::File;
use std::path::Path;
use std::process::Command;

use common::{asset, changed, fail, folder, model, one_mask, refused, scene, tone, write_sound};
use image::{GrayImage, Luma, Rgba, RgbaImage};
use safetensors::SafeTensors;
use serde_json::Value;

fn segment(folder: &Path, image: &str, words: &[&str]) {
    fail(
        folder,
        &["segment", "--image", image, "--text", "dog"],
        words,
    );
}

#[test]
fn pictures() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    segment(
        folder.path(),
        "missing.png",
        &["missing.png", "check the path"],
    );
    std::fs::write(at("empty.png"), b"").unwrap();
    segment(
        folder.path(),
        "empty.png",
        &["empty.png", "0 bytes", "again"],
    );
    let jpeg = std::fs::read(asset("demo/scene1.jpg")).unwrap();
    std::fs::write(at("cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    segment(
        folder.path(),
        "cut.jpg",
        &["cut.jpg", "truncated or damaged", "again"],
    );
    let png = std::fs::read(asset("demo/scene1-3-1.png")).unwrap();
    for length in [20, png.len() / 2, png.len() - 20] {
        std::fs::write(at("cut.png"), &png[..length]).unwrap();
        segment(folder.path(), "cut.png", &["cut.png", "again"]);
        fail(
            folder.path(),
            &["segment", "--image", &scene(), "--ref-image", "cut.png"],
            &["cut.png", "again"],
        );
    }
    std::fs::write(at("words.png"), "not a picture at all").unwrap();
    segment(
        folder.path(),
        "words.png",
        &["words.png", "convert it to PNG"],
    );
    std::fs::create_dir(at("folder.png")).unwrap();
    segment(folder.path(), "folder.png", &["folder.png"]);
}

#[test]
fn boxes() {
    let folder = folder();
    for (corners, words) in [
        ("0,0,300,20", ["256x256", "in pixels"]),
        ("-5,0,30,20", ["256x256", "0 <= x0 < x1 <="]),
        ("50,0,30,20", ["inverted", "x0 < x1"]),
        ("10,10,10,20", ["empty", "x0 < x1"]),
        ("nan,0,30,20", ["not finite", "x0,y0,x1,y1"]),
        ("0,0,inf,20", ["not finite", "x0,y0,x1,y1"]),
        ("0,0,30", ["not four numbers", "x0,y0,x1,y1"]),
        ("a,b,c,d", ["not four numbers", "x0,y0,x1,y1"]),
    ] {
        fail(
            folder.path(),
            &["segment", "--image", &scene(), "--box", corners],
            &words,
        );
        fail(
            folder.path(),
            &["describe", "--image", &scene(), "--box", corners],
            &words,
        );
        let words = [
            words[0].replace("256x256", "does not fit"),
            words[1].to_owned(),
        ];
        let words = words.each_ref().map(String::as_str);
        fail(
            folder.path(),
            &[
                "segment",
                "--image",
                &scene(),
                "--ref-image",
                &scene(),
                "--ref-box",
                corners,
            ],
            &words,
        );
    }
    fail(
        folder.path(),
        &["segment", "--image", &scene(), "--box", "0,0,300,20"],
        &["scene1.jpg"],
    );
}

#[test]
fn sounds() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let hear = |name: &str, words: &[&str]| {
        fail(
            folder.path(),
            &["segment", "--image", &scene(), "--audio", name],
            words,
        );
    };
    hear("missing.wav", &["missing.wav", "check the path"]);
    std::fs::write(at("empty.ogg"), b"").unwrap();
    hear("empty.ogg", &["empty.ogg", "0 bytes"]);
    let ogg = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../anyref-audio/tests/fixtures/sounds/vorbis.ogg");
    let ogg = std::fs::read(ogg).unwrap();
    for length in [30, 2000, ogg.len() / 2] {
        std::fs::write(at("cut.ogg"), &ogg[..length]).unwrap();
        hear("cut.ogg", &["cut.ogg"]);
    }
    write_sound(&at("silence.wav"), 16_000, 2.0, |_| 0.0);
    hear("silence.wav", &["silence.wav", "silent", "can be heard"]);
    write_sound(&at("click.wav"), 16_000, 0.01, tone);
    hear("click.wav", &["click.wav", "0.010 s", "longer recording"]);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(at("nan.wav"), spec).unwrap();
    (0..16_000).for_each(|i| {
        writer
            .write_sample(if i == 99 { f32::NAN } else { 0.1 })
            .unwrap()
    });
    writer.finalize().unwrap();
    hear("nan.wav", &["nan.wav", "finite"]);
    std::fs::write(at("words.wav"), "not a sound at all").unwrap();
    hear("words.wav", &["words.wav", "convert it to WAV"]);
    write_sound(&at("hours.wav"), 8_000, 700.0, tone);
    hear("hours.wav", &["hours.wav", "longer than 600 s"]);
}

/// The bad one of several files is named, before a model is read: this one has only a config.
#[test]
fn several_references() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("model")).unwrap();
    std::fs::copy(asset("nano/config.json"), at("model/config.json")).unwrap();
    write_sound(&at("good.wav"), 16_000, 1.0, tone);
    write_sound(&at("silence.wav"), 16_000, 2.0, |_| 0.0);
    write_sound(&at("click.wav"), 16_000, 0.01, tone);
    write_sound(&at("slow.wav"), 500, 2.0, tone);
    let sound = std::fs::read(at("good.wav")).unwrap();
    std::fs::write(at("cut.wav"), &sound[..sound.len() / 2]).unwrap();
    std::fs::write(at("words.wav"), "not a sound at all").unwrap();
    let picture = std::fs::read(asset("demo/scene1-3-1.png")).unwrap();
    std::fs::write(at("good.png"), &picture).unwrap();
    std::fs::write(at("cut.png"), &picture[..picture.len() / 2]).unwrap();
    std::fs::write(at("words.png"), "not a picture at all").unwrap();
    let scene = scene();
    let sounds = [
        "none.wav",
        "silence.wav",
        "click.wav",
        "slow.wav",
        "cut.wav",
        "words.wav",
    ];
    let pictures = ["none.png", "cut.png", "words.png"];
    for (option, good, bad) in [
        ("--audio", "good.wav", &sounds[..]),
        ("--ref-image", "good.png", &pictures),
    ] {
        for bad in bad {
            for [first, second] in [[good, *bad], [*bad, good]] {
                let asked = ["segment", "--model", "model", "--image", &scene];
                let references = [option, first, option, second];
                let said = refused(folder.path(), &[&asked[..], &references].concat());
                assert!(said.contains(bad) && !said.contains(good), "{said}");
            }
        }
    }
    let asked = ["segment", "--model", "model", "--image", &scene];
    let outside = [&asked[..], &["--box", "0,0,300,20"]].concat();
    fail(folder.path(), &outside, &["scene1.jpg", "256x256"]);
    // With good files the model is read.
    let good = ["--audio", "good.wav", "--ref-image", "good.png"];
    let good = [&asked[..], &good].concat();
    fail(folder.path(), &good, &["tokenizer.json"]);
}

#[test]
fn models() {
    let folder = folder();
    let load = |path: &Path, words: &[&str]| {
        let path = path.display().to_string();
        fail(folder.path(), &["info", "--model", &path], words);
        fail(
            folder.path(),
            &[
                "segment",
                "--model",
                &path,
                "--image",
                &scene(),
                "--text",
                "dog",
            ],
            words,
        );
    };
    load(Path::new("nowhere"), &["nowhere", "config.json"]);
    load(folder.path(), &["config.json"]);

    let damaged = model();
    let weights = damaged.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    for length in [0, 4, 1000, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&weights, &bytes[..length]).unwrap();
        load(damaged.path(), &["model.safetensors"]);
    }
    std::fs::copy(asset("demo/scene1.jpg"), &weights).unwrap();
    load(damaged.path(), &["model.safetensors"]);
    std::fs::remove_file(&weights).unwrap();
    load(damaged.path(), &["safetensors"]);

    let other = model();
    let file = other.path().join("config.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["mask_decoder"]["mlp_dim"] = 640.into();
    std::fs::write(&file, config.to_string()).unwrap();
    load(other.path(), &["mask_decoder"]);
    config["mask_decoder"]["mlp_dim"] = 512.into();
    config["llm"]["num_hidden_layers"] = 5.into();
    std::fs::write(&file, config.to_string()).unwrap();
    load(other.path(), &["layers.4"]);
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    load(other.path(), &["config.json", "not an AnyRef config"]);
    std::fs::write(&file, &text).unwrap();
    std::fs::write(other.path().join("tokenizer.json"), "{}").unwrap();
    load(other.path(), &["tokenizer.json"]);
}

/// Damage inside a tokenizer's decoder, on which the tokenizer library panics.
#[test]
fn a_damaged_tokenizer_is_named() {
    let damaged = model();
    let file = damaged.path().join("tokenizer.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let broken = text.replacen("\"ByteFallback\"", "\"\\ud800\"", 1);
    assert_ne!(broken, text);
    std::fs::write(&file, broken).unwrap();
    let (path, scene) = (damaged.path().display().to_string(), scene());
    let info = ["info", "--model", path.as_str()];
    let segment = ["--image", scene.as_str(), "--text", "dog"];
    let segment = [&["segment"][..], &info[1..], &segment[..]].concat();
    for command in [&info[..], &segment[..]] {
        let said = refused(damaged.path(), command);
        assert!(said.contains("tokenizer.json"), "{said}");
        assert!(
            !said.contains("config.json") && !said.contains(".rs"),
            "{said}"
        );
    }
}

#[test]
fn weights_that_are_no_numbers() {
    let damaged = model();
    let file = damaged.path().join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let norm = tensors.tensor("llm.model.norm.weight").unwrap();
    let at = norm.data().as_ptr() as usize - bytes.as_ptr() as usize;
    // The weights are in half precision.
    bytes[at..at + 2].copy_from_slice(&0x7e00_u16.to_le_bytes());
    std::fs::write(&file, &bytes).unwrap();
    let model = damaged.path().display().to_string();
    for candidates in ["1", "8"] {
        fail(
            damaged.path(),
            &[
                "segment",
                "--model",
                &model,
                "--candidates",
                candidates,
                "--image",
                &scene(),
                "--text",
                "dog",
            ],
            &["not a finite number", "weights"],
        );
    }
}

/// Impossible sizes are refused when they are read, not deep inside a computation.
#[test]
fn impossible_configs() {
    let folder = folder();
    let other = model();
    let file = other.path().join("config.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let (clip, sam) = ("CLIP config", "SAM config");
    let (heads, size) = ("num_attention_heads", "image_size");
    for (part, field, value, words) in [
        ("vision_tower", heads, 0, [clip, heads]),
        ("vision_tower", heads, 7, [clip, heads]),
        ("vision_tower", "patch_size", 0, [clip, "patch_size"]),
        ("image_encoder", size, 100, [sam, size]),
        // Without windows all layers are global, which the weights do not fit.
        (
            "image_encoder",
            "window_size",
            0,
            ["rel_pos", "belong together"],
        ),
        ("llm", heads, 5, ["LLaMA config", heads]),
        (
            "mask_decoder",
            "num_heads",
            0,
            ["mask decoder config", "num_heads"],
        ),
    ] {
        let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(config[part][field].is_u64(), "{part}.{field}");
        config[part][field] = value.into();
        std::fs::write(&file, config.to_string()).unwrap();
        fail(
            folder.path(),
            &[
                "segment",
                "--model",
                &other.path().display().to_string(),
                "--image",
                &scene(),
                "--text",
                "dog",
            ],
            &words,
        );
    }
}

/// Impossible settings of answers are refused too.
#[test]
fn impossible_answers() {
    let folder = folder();
    let refused = |change: fn(&mut Value), words: &[&str]| {
        let model = changed(change);
        let path = model.path().display().to_string();
        fail(folder.path(), &["info", "--model", &path], words);
    };
    refused(
        |config| config["max_new_tokens"] = 0.into(),
        &["max_new_tokens", "at least 1"],
    );
    refused(
        |config| config["min_mask_score"] = 1.5.into(),
        &["min_mask_score", "0 to 1"],
    );
    refused(
        |config| config["min_mask_score"] = (-0.5f64).into(),
        &["min_mask_score", "0 to 1"],
    );
    refused(
        |config| config["audio"]["encoder"]["num_clips"] = 2.into(),
        &["audio.encoder.num_clips", "make them equal"],
    );
}

#[test]
fn prompts() {
    let folder = folder();
    let image = scene();
    let ask = |words: &[&str], found: &[&str]| {
        let words: Vec<&str> = ["segment", "--image", &image]
            .iter()
            .chain(words)
            .copied()
            .collect();
        fail(folder.path(), &words, found);
    };
    ask(&[], &["empty", "at least one reference"]);
    ask(&["--text", ""], &["empty"]);
    ask(&["--text", "  "], &["empty"]);
    ask(&["--prompt", ""], &["empty"]);
    ask(
        &["--prompt", "the {1} and the {2}", "--text", "dog"],
        &["{2}", "1 references"],
    );
    ask(
        &["--prompt", "everything", "--text", "dog"],
        &["does not use", "{1}"],
    );
    ask(&["--text", "a <obj> dog"], &["<obj>", "leave it out"]);
    ask(
        &["--text", &"dog ".repeat(3000)],
        &["context", "shorten", "/new"],
    );
    ask(
        &["--text", "dog", "--max-new-tokens", "100000"],
        &["context", "100000 tokens", "lower --max-new-tokens"],
    );
    ask(
        &["--text", "dog", "--max-new-tokens", &u64::MAX.to_string()],
        &["context"],
    );
    ask(
        &["--text", "dog", "--max-new-tokens", "0"],
        &["--max-new-tokens"],
    );
    ask(
        &["--text", "dog", "--temperature", "nan"],
        &["--temperature"],
    );
    ask(
        &["--text", "dog", "--min-score", "1.5"],
        &["--min-score", "0 to 1"],
    );
    ask(
        &["--text", "dog", "--candidates", "0"],
        &["--candidates", "1 to 64"],
    );
    ask(
        &["--text", "dog", "--candidates", "4", "--temperature", "1"],
        &["--candidates", "--temperature"],
    );
}

/// Impossible options of answers are refused before a model is looked for.
#[test]
fn options_of_answers() {
    let folder = folder();
    let asked = [
        "segment",
        "--model",
        "nowhere",
        "--image",
        &scene(),
        "--text",
        "dog",
    ];
    for (option, value, remedy) in [
        ("--max-new-tokens", "0", "at least 1"),
        ("--temperature", "-1", "0 or more"),
        ("--min-score", "-0.5", "0 to 1"),
        ("--candidates", "65", "1 to 64"),
    ] {
        let arguments = [&asked[..], &[option, value]].concat();
        fail(folder.path(), &arguments, &[option, remedy]);
    }
}

#[test]
fn a_model_where_none_is_asked() {
    let folder = folder();
    for command in [
        &["info", "weights.pth"][..],
        &["info", "--devices"],
        &["score", "refcoco", "--predictions", "p", "--targets", "t"],
        &["assemble", "--sam", "s", "--llm", "l", "--out", "o"],
    ] {
        let arguments = [command, &["--model", "nowhere"]].concat();
        fail(folder.path(), &arguments, &["--model", "leave it out"]);
    }
    let run = common::run_in(folder.path(), &["info", "--devices", "weights.pth"], "");
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("--devices"), "{}", run.stderr);
}

/// A folder can be opened, but not read.
#[test]
fn a_conversation_that_cannot_be_read() {
    let folder = folder();
    let chat = Command::new(env!("CARGO_BIN_EXE_anyref"))
        .args(["chat", "--image", &scene()])
        .stdin(File::open(folder.path()).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8(chat.stderr).unwrap();
    assert_eq!(chat.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("error: cannot read standard input: "),
        "{said}"
    );
}

#[test]
fn reference_masks() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    GrayImage::from_pixel(9, 9, Luma([255]))
        .save(at("small.png"))
        .unwrap();
    GrayImage::new(256, 256).save(at("black.png")).unwrap();
    // White, but fully transparent.
    RgbaImage::from_pixel(256, 256, Rgba([255, 255, 255, 0]))
        .save(at("clear.png"))
        .unwrap();
    for (mask, words) in [
        ("small.png", ["small.png", "make them equal"]),
        ("black.png", ["black.png", "white"]),
        ("clear.png", ["clear.png", "black all over"]),
        ("missing.png", ["missing.png", "check the path"]),
    ] {
        fail(
            folder.path(),
            &[
                "segment",
                "--image",
                &scene(),
                "--ref-image",
                &scene(),
                "--ref-mask",
                mask,
            ],
            &words,
        );
    }
}

#[test]
fn outputs() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("taken.png")).unwrap();
    for option in ["--mask", "--overlay"] {
        for (path, words) in [
            ("nowhere/out.png", ["nowhere/out.png", "create it first"]),
            ("taken.png", ["taken.png", "give a file name"]),
            ("out.docx", ["out.docx", "use .png"]),
            ("out.avif", ["out.avif", "use .png"]),
            ("/proc/out.png", ["/proc/out.png", "permissions"]),
            ("out.jpg", ["out.jpg", "masks are PNG"]),
        ] {
            if (option, path) == ("--overlay", "out.jpg") {
                continue;
            }
            fail(folder.path(), &one_mask(&scene(), &[option, path]), &words);
        }
    }
    std::fs::copy(asset("demo/scene1.jpg"), folder.path().join("own.jpg")).unwrap();
    std::fs::copy(
        asset("demo/scene1-3-1.png"),
        folder.path().join("shown.png"),
    )
    .unwrap();
    let before = std::fs::read(folder.path().join("own.jpg")).unwrap();
    let asked = ["--image", "own.jpg", "--ref-image", "shown.png"];
    for (outputs, words) in [
        (&["--overlay", "own.jpg"][..], ["own.jpg", "is read"]),
        (&["--overlay", "./own.jpg"], ["own.jpg", "is read"]),
        (&["--mask", "shown.png"], ["shown.png", "is read"]),
        (
            &["--mask", "a.png", "--overlay", "./a.png"],
            ["a.png", "replace the other"],
        ),
    ] {
        let arguments = [&["segment"][..], &asked, outputs].concat();
        fail(folder.path(), &arguments, &words);
    }
    assert_eq!(
        std::fs::read(folder.path().join("own.jpg")).unwrap(),
        before
    );
    explanations(folder.path());
    fail(
        folder.path(),
        &["demo", "--out", "/proc/shown"],
        &["/proc/shown", "permissions"],
    );
}

/// Files of `--explain` replace neither inputs nor other outputs.
fn explanations(folder: &Path) {
    let why = folder.join("why");
    std::fs::create_dir(&why).unwrap();
    let shown = why.join("object_1.png");
    std::fs::copy(asset("demo/scene1-3-1.png"), &shown).unwrap();
    let before = std::fs::read(&shown).unwrap();
    let scene = scene();
    let ask = |arguments: &[&str], words: &[&str]| {
        // The model does not exist, and is not even looked for.
        let asked = ["segment", "--model", "nowhere", "--explain", "why"];
        fail(folder, &[&asked[..], arguments].concat(), words);
    };
    ask(
        &["--image", "why/object_1.png", "--text", "dog"],
        &["why/object_1.png", "is read", "another folder"],
    );
    ask(
        &["--image", &scene, "--ref-image", "why/../why/object_1.png"],
        &["object_1.png", "is read"],
    );
    for (option, path) in [
        ("--mask", "why/object_2.png"),
        // Several masks get numbers.
        ("--mask", "./why/object.png"),
        ("--overlay", "why/object_3.png"),
    ] {
        ask(
            &["--image", &scene, "--text", "dog", option, path],
            &[path, "replace the other"],
        );
    }
    // Other names in the folder are free, so that the model is looked for.
    ask(
        &[
            "--image",
            &scene,
            "--text",
            "dog",
            "--mask",
            "why/mask.png",
            "--overlay",
            "why/object_x.png",
        ],
        &["nowhere"],
    );
    assert_eq!(std::fs::read(&shown).unwrap(), before);

    // A folder is created only for a valid question.
    let asked = ["segment", "--image", "none.png", "--text", "dog"];
    fail(
        folder,
        &[&asked[..], &["--explain", "new"]].concat(),
        &["none.png"],
    );
    assert!(!folder.join("new").exists());
}
