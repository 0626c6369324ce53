//! Damaged and hostile files: each gives a typed one-line error, quickly, and nothing is executed.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use anyref_weights::{Checkpoint, Error};
use common::fixture;
use tempfile::TempDir;

/// Writes a file with these bytes into a temporary folder.
fn file(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Returns the error of opening after checking that it is one short line that names the path.
fn error(path: impl AsRef<Path>) -> Error {
    let path = path.as_ref();
    let error = Checkpoint::open(path).expect_err("opened");
    let line = error.to_string();
    assert!(!line.contains('\n') && line.len() < 700, "{line}");
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    assert!(line.contains(&name), "{line}");
    error
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 1);
    bytes
}

#[test]
fn functions_in_pickles_are_refused_by_name() {
    for name in ["evil.pt", "evil_protocol4.pt", "evil_legacy.pth"] {
        let error = error(fixture(name));
        let Error::ForeignGlobal { global, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(global, "posix.system", "{name}");
    }
    let error = error(fixture("whole_module.pt"));
    assert!(
        error.to_string().contains("torch.nn.modules.linear.Linear"),
        "{error}"
    );
}

#[test]
fn names_are_refused_however_the_pickle_uses_them() {
    let (_folder, path) = file("x.pt", "");
    let archive = |pickle: &[u8]| zip(&[("archive/data.pkl", pickle)]);
    let cases: [(&[u8], &str); 5] = [
        (b"\x80\x02cos\nsystem\n.", "os.system"),
        (b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85\x81.", "os.system"),
        (b"\x80\x02(X\x02\0\0\0lsios\nsystem\n.", "os.system"),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
            "builtins.eval",
        ),
        (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n0cbuiltins\nexec\n.",
            "builtins.exec",
        ),
    ];
    for (pickle, name) in cases {
        fs::write(&path, archive(pickle)).unwrap();
        let error = error(&path);
        let Error::ForeignGlobal { global, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(global, name);
    }
    // Names by number, from the reader's registry.
    fs::write(&path, archive(b"\x80\x02\x82\x01.")).unwrap();
    assert!(matches!(error(&path), Error::Corrupt { .. }));
    // A name that would forge a line of the terminal.
    fs::write(&path, archive(b"\x80\x04\x8c\x03a\nb\x8c\x02\x1bc\x93.")).unwrap();
    assert!(matches!(error(&path), Error::ForeignGlobal { .. }));
}

#[test]
fn pickles_that_multiply_are_stopped() {
    let (_folder, path) = file("x.pt", "");
    // A list of ten thousand items, made into a dictionary a hundred thousand times.
    let mut pickle = b"\x80\x02]q\x00(".to_vec();
    for _ in 0..10_000 {
        pickle.extend(b"K\x01K\x02\x86");
    }
    pickle.extend(b"e0");
    for _ in 0..100_000 {
        pickle.extend(b"ccollections\nOrderedDict\nh\x00\x85R0");
    }
    pickle.push(b'.');
    fs::write(&path, zip(&[("a/data.pkl", &pickle)])).unwrap();
    let line = error(&path).to_string();
    assert!(line.contains("values"), "{line}");

    // Each dictionary holds the previous one twice: 2^60 paths.
    let mut pickle = b"\x80\x02}q\x00".to_vec();
    for i in 0..60u8 {
        let (old, new) = (i, i + 1);
        pickle.extend([
            b'}', b'q', new, b'(', b'K', 0, b'h', old, b'K', 1, b'h', old, b'u',
        ]);
    }
    pickle.push(b'.');
    fs::write(&path, zip(&[("a/data.pkl", &pickle)])).unwrap();
    let line = error(&path).to_string();
    assert!(line.contains("nested too deeply"), "{line}");

    // A million nested tuples, and a list that contains itself.
    let mut pickle = b"\x80\x02N".to_vec();
    pickle.resize(1_000_000, 0x85);
    pickle.push(b'.');
    fs::write(&path, zip(&[("a/data.pkl", &pickle)])).unwrap();
    error(&path);
    fs::write(&path, zip(&[("a/data.pkl", b"\x80\x02]q\x00h\x00a.")])).unwrap();
    error(&path);
}

#[test]
fn lengths_that_lie_are_not_allocated() {
    let (_folder, path) = file("x.pt", "");
    let strings: [&[u8]; 4] = [
        b"\x80\x02X\xff\xff\xff\xff",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x04\x96\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x80\x02\x8b\xff\xff\xff\x7f",
    ];
    for pickle in strings {
        fs::write(&path, zip(&[("a/data.pkl", pickle)])).unwrap();
        assert!(matches!(error(&path), Error::Corrupt { .. }));
    }
    for name in ["net.pt", "net_legacy.pth"] {
        // Sizes of tensors and storages: every byte of the table is changed, one at a time.
        let bytes = fs::read(fixture(name)).unwrap();
        for at in (0..bytes.len().min(2600)).step_by(7) {
            for value in [0x00, 0xff, bytes[at] ^ 0x10] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                fs::write(&path, &damaged).unwrap();
                if let Ok(checkpoint) = Checkpoint::open(&path) {
                    for tensor in checkpoint.tensors() {
                        let _ = tensor.read();
                    }
                }
            }
        }
    }
}

#[test]
fn truncated_files_say_so_at_any_length() {
    for name in [
        "net.safetensors",
        "net.pt",
        "net_legacy.pth",
        "net_bf16.bin",
    ] {
        let bytes = fs::read(fixture(name)).unwrap();
        for length in (1..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
            let (_folder, path) = file(name, &bytes[..length]);
            error(&path);
        }
        let (_folder, path) = file(name, &bytes[..bytes.len() - 1]);
        let line = error(&path).to_string();
        assert!(line.contains("download"), "{line}");
    }
}

#[test]
fn empty_zero_filled_and_foreign_files_are_named() {
    type Case<'a> = (&'a [u8], fn(&Error) -> bool);
    let cases: [Case; 8] = [
        (b"", |e| matches!(e, Error::Empty(_))),
        (&[0; 4096], |e| matches!(e, Error::ZeroFilled(_))),
        (b"version https://git-lfs.github.com/spec/v1\noid", |e| {
            matches!(e, Error::LfsPointer(_))
        }),
        (b"<!DOCTYPE html><html>", |e| {
            matches!(e, Error::UnknownFormat { .. })
        }),
        (b"GGUF\x03\0\0\0", |e| matches!(e, Error::Truncated { .. })),
        (b"\x80\x02}q\0.", |e| {
            matches!(e, Error::UnknownFormat { .. })
        }),
        (b"hello", |e| matches!(e, Error::UnknownFormat { .. })),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff{\"a\":1}", |e| {
            matches!(e, Error::Corrupt { .. })
        }),
    ];
    for (bytes, check) in cases {
        let (_folder, path) = file("weights.bin", bytes);
        let error = error(&path);
        assert!(check(&error), "{error}");
    }
    assert!(matches!(error(fixture("none.pt")), Error::NotFound(_)));
    assert!(matches!(
        error(fixture("not_torch.zip")),
        Error::UnknownFormat { .. }
    ));
}

#[test]
fn compressed_archives_programs_and_odd_types_are_unsupported() {
    for (name, word) in [
        ("bomb.pt", "compressed"),
        ("script.pt", "TorchScript"),
        ("f8.safetensors", "F8_E4M3"),
    ] {
        let error = error(fixture(name));
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn headers_that_contradict_themselves_are_corrupt() {
    let entry = |offsets: &str, shape: &str| {
        format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let cases = [
        entry("[0,8]", "[3]"),
        entry("[8,0]", "[2]"),
        entry("[0,8]", "[9223372036854775807,4611686018427387905]"),
        entry("[0,8]", "[-2]"),
        r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}}"#.into(),
        r#"{"w":3}"#.into(),
        "{".into(),
        "[]".into(),
        "{\"a\\u001b[2J\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}".into(),
    ];
    for header in cases {
        let (_folder, path) = file("w.safetensors", safetensors(&header, 16));
        let error = error(&path);
        assert!(matches!(error, Error::Corrupt { .. }), "{header}: {error}");
    }
    let (_folder, path) = file("w.safetensors", safetensors(&entry("[0,400]", "[100]"), 16));
    assert!(matches!(error(&path), Error::Truncated { .. }));
    let twice = r#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
    let (_folder, path) = file("w.safetensors", safetensors(twice, 2));
    assert!(matches!(error(&path), Error::DuplicateTensor { .. }));
}

/// Copies the sharded fixture, to damage it.
fn shards() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture("sharded")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    folder
}

#[test]
fn shards_and_index_must_agree() {
    let index_name = "model.safetensors.index.json";
    let edit = |folder: &TempDir, from: &str, to: &str| {
        let path = folder.path().join(index_name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    let open = |folder: &TempDir| Checkpoint::open(folder.path()).unwrap_err();

    let folder = shards();
    fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    let error = open(&folder);
    assert!(
        matches!(&error, Error::ShardMissing { shard, .. } if shard.contains("00002")),
        "{error}"
    );

    let cases = [
        (r#""conv.bias""#, r#""conv.extra""#, "conv.extra"),
        (
            r#"    "conv.bias": "model-00001-of-00002.safetensors","#,
            "",
            "conv.bias",
        ),
        (
            r#""conv.bias": "model-00001"#,
            r#""conv.bias": "model-00002"#,
            "conv.bias",
        ),
    ];
    for (from, to, tensor) in cases {
        let folder = shards();
        edit(&folder, from, to);
        let error = open(&folder);
        assert!(
            matches!(&error, Error::IndexMismatch { tensor: t, .. } if t == tensor),
            "{error}"
        );
    }

    let folder = shards();
    edit(&folder, r#""conv.weight""#, r#""conv.bias""#);
    let error = open(&folder);
    assert!(
        matches!(&error, Error::DuplicateTensor { tensor, .. } if tensor == "conv.bias"),
        "{error}"
    );

    let folder = shards();
    let shard = |n| {
        folder
            .path()
            .join(format!("model-0000{n}-of-00002.safetensors"))
    };
    fs::copy(shard(1), shard(2)).unwrap();
    assert!(matches!(open(&folder), Error::DuplicateTensor { .. }));

    for outside in [
        "../secret.safetensors",
        "/etc/passwd",
        "a/b.safetensors",
        "..",
    ] {
        let folder = shards();
        edit(&folder, "model-00001-of-00002.safetensors", outside);
        let error = open(&folder);
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    // A name that would break the line of a message.
    for (from, to) in [("00001-of", r"00001\nof"), ("conv.bias", r"conv\u0007bias")] {
        let folder = shards();
        edit(&folder, from, to);
        let said = open(&folder).to_string();
        assert!(
            said.contains("control characters") && said.lines().count() == 1,
            "{said}"
        );
    }
    let folder = shards();
    fs::write(folder.path().join(index_name), "{}").unwrap();
    assert!(matches!(open(&folder), Error::Corrupt { .. }));
}

#[test]
fn folders_without_or_with_several_checkpoints_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(error(folder.path()), Error::NoCheckpoint(_)));
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    assert!(matches!(error(folder.path()), Error::NoCheckpoint(_)));
    for name in ["a.safetensors", "b.safetensors"] {
        fs::copy(fixture("net.safetensors"), folder.path().join(name)).unwrap();
    }
    let error = error(folder.path());
    assert!(
        error.to_string().contains("a.safetensors, b.safetensors"),
        "{error}"
    );
    fs::copy(
        fixture("net.safetensors"),
        folder.path().join("model.safetensors"),
    )
    .unwrap();
    assert_eq!(Checkpoint::open(folder.path()).unwrap().len(), 16);
}

#[test]
fn a_file_that_shrinks_after_opening_is_an_error() {
    let (_folder, path) = file(
        "net.safetensors",
        fs::read(fixture("net.safetensors")).unwrap(),
    );
    let checkpoint = Checkpoint::open(&path).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1000)
        .unwrap();
    let failed = checkpoint
        .tensors()
        .filter(|tensor| tensor.read().is_err())
        .count();
    assert!(failed > 0);
}

/// Builds a zip archive with stored entries.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in entries {
        let offset = bytes.len() as u32;
        let size = (content.len() as u32).to_le_bytes();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend([size, size].concat());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    let count = (entries.len() as u16).to_le_bytes();
    bytes.extend([count, count].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}
