//! Answers of the program, on the terminal and in files.

mod common;

use std::path::Path;

use anyref_decoder::rle::Rle;
use common::{
    Run, asset, changed, folder, json, one_mask, pointing, run_in, scene, silent, succeed, tone,
    write_sound,
};
use image::{
    ColorType, DynamicImage, GrayImage, ImageReader, Luma, Rgb, RgbImage, Rgba, RgbaImage,
};
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

fn rle(mask: &Value) -> Rle {
    serde_json::from_value(mask.clone()).unwrap_or_else(|_| {
        let size = [
            mask["size"][0].as_u64().unwrap() as usize,
            mask["size"][1].as_u64().unwrap() as usize,
        ];
        Rle::from_compressed(mask["counts"].as_str().unwrap(), size).unwrap()
    })
}

#[test]
fn json_is_the_documented_object_and_the_mask_file_agrees_with_it() {
    let folder = folder();
    let found = json(folder.path(), &one_mask(&scene(), &["--mask", "mask.png"]));
    assert_eq!(
        keys(&found),
        ["backend", "left_out", "masks", "model", "text", "timing_ms"]
    );
    assert_eq!(found["model"], "nano");
    assert_eq!(found["backend"], "flex");
    assert_eq!(found["left_out"], 0);
    assert_eq!(
        keys(&found["timing_ms"]),
        [
            "audio", "decode", "generate", "image", "load", "prompt", "total"
        ]
    );
    let timing = |part: &str| found["timing_ms"][part].as_f64().unwrap();
    assert!(timing("total") >= timing("load") + timing("image"));
    let masks = found["masks"].as_array().unwrap();
    assert_eq!(masks.len(), 1);
    assert_eq!(keys(&masks[0]), ["area", "box", "counts", "score", "size"]);
    assert_eq!(masks[0]["size"], serde_json::json!([256, 256]));
    assert!((0.0..=1.0).contains(&masks[0]["score"].as_f64().unwrap()));
    let rle = rle(&masks[0]);
    assert_eq!(masks[0]["area"].as_u64().unwrap(), rle.area());
    let [x, y, w, h] = rle.bbox();
    assert_eq!(masks[0]["box"], serde_json::json!([x, y, x + w, y + h]));

    let file = ImageReader::open(folder.path().join("mask.png"))
        .unwrap()
        .decode()
        .unwrap();
    assert_eq!(file.color(), ColorType::L8);
    let file = file.into_luma8();
    assert_eq!(file.dimensions(), (256, 256));
    assert!(file.pixels().all(|pixel| [0, 255].contains(&pixel[0])));
    let pixels: Vec<bool> = file.pixels().map(|pixel| pixel[0] == 255).collect();
    assert_eq!(pixels, rle.to_mask());
}

#[test]
fn several_masks_get_numbers() {
    let folder = folder();
    let said = succeed(
        folder.path(),
        &[
            "segment",
            "--model",
            pointing(),
            "--max-new-tokens",
            "2",
            "--image",
            &scene(),
            "--text",
            "dogs",
            "--mask",
            "out.png",
            "--overlay",
            "over.png",
        ],
    );
    assert!(
        said.contains("out_1.png") && said.contains("out_2.png"),
        "{said}"
    );
    assert!(folder.path().join("out_1.png").is_file() && folder.path().join("out_2.png").is_file());
    assert!(!folder.path().join("out.png").exists());
    let overlay = image::open(folder.path().join("over.png")).unwrap();
    assert!(overlay.width() == 512 && overlay.height() > 512);
}

#[test]
fn nothing_found_is_an_answer() {
    let folder = folder();
    let ask = [
        "segment",
        "--model",
        silent(),
        "--image",
        &scene(),
        "--text",
        "dog",
        "--mask",
        "out.png",
    ];
    let said = succeed(folder.path(), &ask);
    assert!(
        said.contains("no mask") && said.contains("out.png is not written"),
        "{said}"
    );
    assert!(!folder.path().join("out.png").exists());
    let nothing = json(folder.path(), &ask);
    assert_eq!(nothing["masks"], serde_json::json!([]));
    assert_eq!(nothing["left_out"], 0);
}

#[test]
fn every_kind_of_reference_goes_into_one_prompt() {
    let folder = folder();
    let picture = asset("demo/scene1-3-1.png").display().to_string();
    let sound = asset("demo/scene1-4-1.wav").display().to_string();
    let size = image::open(&picture).unwrap();
    GrayImage::from_fn(size.width(), size.height(), |x, _| {
        Luma([if x < size.width() / 2 { 255 } else { 0 }])
    })
    .save(folder.path().join("mask.png"))
    .unwrap();
    let found = json(
        folder.path(),
        &[
            "segment",
            "--image",
            &scene(),
            "--audio",
            &sound,
            "--ref-image",
            &picture,
            "--ref-mask",
            "mask.png",
            "--box",
            "10,10,90,80.5",
            "--text",
            "grapes",
            "--ref-image",
            &picture,
            "--ref-box",
            "0,0,20,20",
            "--prompt",
            "Can you segment {4}, the thing that makes {1}, {2}, {3} and {5} in this image?",
        ],
    );
    assert!(found["timing_ms"]["audio"].as_f64().unwrap() > 0.0);
    succeed(
        folder.path(),
        &[
            "segment",
            "--image",
            &scene(),
            "--prompt",
            "What is on the left?",
        ],
    );
}

#[test]
fn a_reference_mask_may_be_transparent_around_the_object() {
    let folder = folder();
    let picture = asset("demo/scene1-3-1.png").display().to_string();
    let size = image::open(&picture).unwrap();
    let (width, height) = (size.width(), size.height());
    let inside = |x: u32, y: u32| x < width / 2 && y < height / 2;
    GrayImage::from_fn(width, height, |x, y| Luma([255 * u8::from(inside(x, y))]))
        .save(folder.path().join("grey.png"))
        .unwrap();
    RgbaImage::from_fn(width, height, |x, y| {
        Rgba([255, 255, 255, 255 * u8::from(inside(x, y))])
    })
    .save(folder.path().join("clear.png"))
    .unwrap();
    let ask = |mask: &str| {
        let found = json(
            folder.path(),
            &[
                "segment",
                "--image",
                &scene(),
                "--ref-image",
                &picture,
                "--ref-mask",
                mask,
            ],
        );
        (found["text"].clone(), found["masks"].clone())
    };
    assert_eq!(ask("grey.png"), ask("clear.png"));
}

/// Portable pixmaps are written under these names, which more programs read than PAM.
#[test]
fn overlays_are_what_their_names_say() {
    let folder = folder();
    for (name, magic) in [
        ("over.ppm", &b"P6"[..]),
        ("over.pnm", b"P6"),
        ("over.pgm", b"P6"),
        ("over.PBM", b"P6"),
        ("over.pam", b"P7"),
        ("over.bmp", b"BM"),
    ] {
        succeed(folder.path(), &one_mask(&scene(), &["--overlay", name]));
        let file = std::fs::read(folder.path().join(name)).unwrap();
        assert!(file.starts_with(magic), "{name}");
        let picture = image::load_from_memory(&file).unwrap();
        assert_eq!(picture.width(), 512, "{name}");
    }
}

#[test]
fn answers_do_not_change_from_run_to_run() {
    let folder = folder();
    let ask = |extra: &[&str]| {
        let image = scene();
        let mut words = vec![
            "segment", "--image", &image, "--text", "grapes", "--seed", "7",
        ];
        words.extend(extra);
        let found = json(folder.path(), &words);
        (found["text"].clone(), found["masks"].clone())
    };
    assert_eq!(ask(&[]), ask(&[]));
    assert_eq!(
        ask(&["--temperature", "1.0"]),
        ask(&["--temperature", "1.0"])
    );
}

#[test]
fn a_box_is_described_and_masked() {
    let folder = folder();
    let ask = [
        "describe",
        "--model",
        pointing(),
        "--max-new-tokens",
        "1",
        "--image",
        &scene(),
        "--box",
        "100,50,200,180",
    ];
    assert_eq!(
        json(folder.path(), &ask)["masks"].as_array().unwrap().len(),
        1
    );
    let mut with_mask = ask.to_vec();
    with_mask.extend(["--mask", "m.png"]);
    succeed(folder.path(), &with_mask);
    assert!(folder.path().join("m.png").is_file());

    // Messages about missing masks.
    let unsure = [&ask[..], &["--min-score", "1", "--mask", "n.png"]].concat();
    let said = succeed(folder.path(), &unsure);
    assert!(
        said.contains("too unsure") && said.contains("n.png is not written"),
        "{said}"
    );
    let unsure = json(folder.path(), &unsure);
    assert_eq!(unsure["masks"], serde_json::json!([]));
    assert_eq!(unsure["left_out"], 1);
    let words = [&["describe"], &ask[5..]].concat();
    let said = succeed(folder.path(), &words);
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// Chat in which every message gets one mask, with the overlays `turn_1.png` and so on.
fn chat(folder: &Path, lines: impl AsRef<[u8]>) -> Run {
    let ask = [
        "chat",
        "--model",
        pointing(),
        "--max-new-tokens",
        "1",
        "--image",
        &scene(),
        "--overlay",
        "turn.png",
    ];
    run_in(folder, &ask, lines)
}

#[test]
fn chat_works_through_a_pipe() {
    let folder = folder();
    let sound = asset("demo/scene1-4-1.wav");
    let lines = format!(
        "/help\nwhere is the gorilla?\n/box 10,10,50,60\n/audio {}\nIs {{1}} left of {{2}}?\n/box 1,2,3\n/box 0,0,999,9\n/box 0,0,9,9\nwhat is this\n/nonsense\n/quit\nnever read\n",
        sound.display()
    );
    let run = chat(folder.path(), &lines);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("/audio FILE"));
    assert_eq!(run.stdout.matches("mask 1:").count(), 3, "{}", run.stdout);
    // Too few numbers, a box that does not fit, and an unknown command.
    assert_eq!(run.stderr.matches("error: ").count(), 3, "{}", run.stderr);
    assert!(run.stderr.contains("256x256"), "{}", run.stderr);
    assert!(
        folder.path().join("turn_3.png").is_file() && !folder.path().join("turn_4.png").exists()
    );
}

#[test]
fn a_chat_goes_on_after_what_goes_wrong() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("turn_1.png")).unwrap();
    // The second line is Latin-1.
    let lines = b"where is it?\nd\xe9j\xe0 vu\nand now?\n";
    let run = chat(folder.path(), lines);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.matches("mask 1:").count(), 2, "{}", run.stdout);
    let told: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{}", run.stderr);
    assert!(told[0].starts_with("error: cannot write turn_1.png"));
    assert!(told[1].starts_with("error: ") && told[1].contains("UTF-8"));
    assert!(!run.stdout.contains("overlay -> turn_1.png"));
    assert!(folder.path().join("turn_2.png").is_file());
}

/// The references that a message names are those that could be read.
#[test]
fn a_chat_leaves_out_what_cannot_be_heard() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    write_sound(&at("silence.wav"), 16_000, 2.0, |_| 0.0);
    write_sound(&at("tone.wav"), 16_000, 1.0, tone);
    let lines = "/audio silence.wav\n/audio tone.wav\nwhere is { 1 }?\n";
    let run = chat(folder.path(), lines);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.matches("mask 1:").count(), 1, "{}", run.stdout);
    let told: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{}", run.stderr);
    assert!(
        told[0].starts_with("error: silence.wav: ") && told[0].contains("silent"),
        "{}",
        told[0]
    );
    assert_eq!(told[1], "{1}");
}

#[test]
fn a_chat_answers_as_if_nothing_had_been_asked_before() {
    let folder = folder();
    let last = "Can you segment the gorilla in this image?";
    let said = |lines: &str| {
        let run = run_in(folder.path(), &["chat", "--image", &scene()], lines);
        assert_eq!((run.code, &*run.stderr), (Some(0), ""));
        run.stdout
    };
    let alone = said(&format!("{last}\n"));
    assert!(alone.contains("mask 1:"), "{alone}");
    let both = said(&format!("Can you segment yam in this image?\n{last}\n"));
    assert!(
        both.contains("no mask: ") && both.ends_with(&alone),
        "{both}"
    );
    let anew = said(&format!("/new\n{last}\n/new\n{last}\n"));
    assert_eq!(anew, alone.repeat(2));
}

#[test]
fn the_demo_answers_every_question() {
    let folder = folder();
    let said = succeed(folder.path(), &["demo", "--out", "shown"]);
    let shown = folder.path().join("shown");
    let answers = std::fs::read_to_string(shown.join("answers.json")).unwrap();
    let answers: Value = serde_json::from_str(&answers).unwrap();
    let tasks = answers["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 30);
    for task in tasks {
        assert!(shown.join(task["overlay"].as_str().unwrap()).is_file());
        assert_eq!(task["kind"] == "absent", task["iou"].is_null());
    }
    assert!(shown.join("overview.png").is_file());
    for word in [
        "text",
        "box",
        "picture",
        "sound",
        "mixture",
        "absent",
        "overview.png",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn info_tells_parts_types_and_devices() {
    let folder = folder();
    let said = succeed(folder.path(), &["info"]);
    for word in [
        "nano",
        "SAM image encoder",
        "language model",
        "F16",
        "F32",
        "16 kHz, 3 clips of 2 s",
        "flex",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(succeed(folder.path(), &["info", "--model", pointing()]).contains(pointing()));
    let slower = changed(|config| {
        config["audio"]["preprocessor"]["sample_rate"] = 22_050.into();
        config["audio"]["preprocessor"]["clip_seconds"] = 1.5.into();
    });
    let slower = slower.path().display().to_string();
    let said = succeed(folder.path(), &["info", "--model", &slower]);
    assert!(said.contains("22.05 kHz, 3 clips of 1.5 s"), "{said}");
    let devices = succeed(folder.path(), &["info", "--devices"]);
    assert!(devices.contains("processor"), "{devices}");
    if cfg!(not(feature = "cuda")) {
        common::fail(
            folder.path(),
            &["info", "--backend", "cuda"],
            &["--features cuda"],
        );
    }
    common::fail(folder.path(), &["info", "--device", "1"], &["no device 1"]);
}

/// Pictures of every kind that programs write are read as a viewer shows them.
#[test]
fn unusual_pictures_are_answered_in_their_own_size() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let colours = RgbImage::from_fn(60, 40, |x, y| Rgb([x as u8 * 4, y as u8 * 6, 90]));
    let colours = DynamicImage::ImageRgb8(colours);
    colours.to_rgb16().save(at("deep.png")).unwrap();
    colours.to_luma8().save(at("grey.png")).unwrap();
    colours.to_luma16().save(at("deep grey.png")).unwrap();
    colours.to_rgba8().save(at("alpha.png")).unwrap();
    RgbImage::from_pixel(1, 1, Rgb([9, 9, 9]))
        .save(at("dot.png"))
        .unwrap();
    RgbImage::from_pixel(10_000, 10, Rgb([90, 9, 9]))
        .save(at("wide.png"))
        .unwrap();
    RgbImage::from_pixel(10, 10_000, Rgb([90, 9, 9]))
        .save(at("tall.png"))
        .unwrap();
    colours.save(at("plain.jpg")).unwrap();
    turned(&at("plain.jpg"), &at("turned.jpg"));
    for (name, [height, width]) in [
        ("deep.png", [40, 60]),
        ("grey.png", [40, 60]),
        ("deep grey.png", [40, 60]),
        ("alpha.png", [40, 60]),
        ("dot.png", [1, 1]),
        ("wide.png", [10, 10_000]),
        ("tall.png", [10_000, 10]),
        ("turned.jpg", [60, 40]),
    ] {
        let outputs = ["--mask", "mask.png", "--overlay", "overlay.png"];
        let found = json(folder.path(), &one_mask(name, &outputs));
        assert_eq!(
            found["masks"][0]["size"],
            serde_json::json!([height, width]),
            "{name}"
        );
        let mask = image::open(at("mask.png")).unwrap();
        assert_eq!([mask.height(), mask.width()], [height, width], "{name}");
    }
    succeed(
        folder.path(),
        &["segment", "--image", &scene(), "--ref-image", "dot.png"],
    );
    succeed(
        folder.path(),
        &["segment", "--image", &scene(), "--ref-image", "wide.png"],
    );
}

/// Adds EXIF data to a JPEG file that says: rotate by 90 degrees.
fn turned(from: &Path, to: &Path) {
    let jpeg = std::fs::read(from).unwrap();
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec();
    exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1, 0, exif.len() as u8 + 2]);
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    std::fs::write(to, bytes).unwrap();
}

/// A streamed MP3 does not state its length, and a tag at its end is no sound.
#[test]
fn a_stream_of_mp3_is_heard() {
    let folder = folder();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../anyref-audio/tests/fixtures");
    let mp3 = std::fs::read(fixtures.join("sounds/lame.mp3")).unwrap();
    let frames: Vec<usize> = (0..mp3.len() - 1)
        .filter(|&at| mp3[at..].starts_with(b"\xff\xfb"))
        .collect();
    // The first frame holds the length.
    let stream = [&mp3[frames[1]..], b"APETAGEX", &[0u8; 60_000]].concat();
    std::fs::write(folder.path().join("stream.mp3"), stream).unwrap();
    let found = json(
        folder.path(),
        &["segment", "--image", &scene(), "--audio", "stream.mp3"],
    );
    assert!(found["timing_ms"]["audio"].as_f64().unwrap() > 0.0);
}

#[test]
fn ten_minutes_of_sound_are_heard() {
    let folder = folder();
    write_sound(&folder.path().join("long.wav"), 8_000, 600.0, tone);
    let found = json(
        folder.path(),
        &["segment", "--image", &scene(), "--audio", "long.wav"],
    );
    assert!(found["timing_ms"]["audio"].as_f64().unwrap() > 0.0);
}

#[test]
fn what_an_object_looked_at_is_explained() {
    let folder = folder();
    let wave = folder.path().join("tone.wav");
    write_sound(&wave, 16_000, 1.0, tone);
    let arguments = [
        "segment",
        "--model",
        pointing(),
        "--max-new-tokens",
        "2",
        "--image",
        &scene(),
        "--audio",
        "tone.wav",
    ];
    let plain = json(folder.path(), &arguments);
    let arguments = [&arguments[..], &["--explain", "why"]].concat();
    let answer = json(folder.path(), &arguments);
    assert_eq!(answer["masks"], plain["masks"]);
    let why = folder.path().join("why");
    let text = std::fs::read_to_string(why.join("explain.json")).unwrap();
    let objects: Vec<Value> = serde_json::from_str(&text).unwrap();
    let masks = answer["masks"].as_array().unwrap();
    assert_eq!((objects.len(), masks.len()), (2, 2));
    for (object, mask) in objects.iter().zip(masks) {
        assert_eq!(object["after"]["counts"], mask["counts"]);
        let sum = |values: &Value| -> f64 {
            values
                .as_array()
                .unwrap()
                .iter()
                .map(|value| value.as_f64().unwrap())
                .sum()
        };
        let rows = object["patches"].as_array().unwrap();
        assert_eq!(rows.len(), rows[0].as_array().unwrap().len());
        let patches: f64 = rows.iter().map(sum).sum();
        assert!((patches - object["picture"].as_f64().unwrap()).abs() < 1e-4);
        let words = object["words"].as_array().unwrap().iter();
        let words: f64 = words.map(|word| word["attention"].as_f64().unwrap()).sum();
        let all = patches + words + sum(&object["references"]);
        assert!((all - 1.0).abs() < 1e-3, "{all}");
        assert_eq!(object["references"].as_array().unwrap().len(), 1);
    }
    for number in 1..=2 {
        let picture = ImageReader::open(why.join(format!("object_{number}.png"))).unwrap();
        let [width, height] = picture.into_dimensions().map(|(w, h)| [w, h]).unwrap();
        // Three pictures of 256 x 256, enlarged twice, side by side.
        assert!(width >= 3 * 512 && height >= 512, "{width}x{height}");
    }
    assert!(succeed(folder.path(), &arguments).contains("object_2.png"));
    common::fail(
        folder.path(),
        &[&arguments[..arguments.len() - 1], &["tone.wav"]].concat(),
        &["cannot write tone.wav"],
    );
}

/// Kernels are chosen in the first round, which asks a question of each kind, and used in the
/// second.
#[test]
fn warming_up_asks_every_kind_of_question_twice() {
    let folder = folder();
    let told = succeed(folder.path(), &["warm-up"]);
    for round in ["first round", "second round"] {
        for step in ["picture", "text", "box", "sound", "mixture", "absent"] {
            let line = format!("{round}: {step} ");
            assert!(told.lines().any(|told| told.starts_with(&line)), "{told}");
        }
    }
    assert!(
        told.trim_end()
            .lines()
            .last()
            .unwrap()
            .contains(", second round "),
        "{told}"
    );
}
