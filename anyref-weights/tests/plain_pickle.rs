//! Annotations in pickles: accepted and rejected ones.

use std::fs;

use anyref_weights::{Error, read_plain_pickle};
use serde::Deserialize;
use serde_json::{Value, json};

fn read(pickle: &[u8]) -> anyref_weights::Result<Value> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("refs(unc).p");
    fs::write(&path, pickle).unwrap();
    read_plain_pickle(path)
}

#[test]
fn texts_and_numbers_of_protocol_0_are_those_of_python() {
    // pickle.dumps([{'a': "it's", u'b': u'caf\xe9 \u2603'}, 'x\ty\\', 12, -3L, 1.5, True, None], 0)
    let pickle =
        b"(lp0\n(dp1\nS'a'\np2\nS\"it's\"\np3\nsVb\np4\nVcaf\xe9 \\u2603\np5\nsaS'x\\ty\\\\'\n\
        p6\naI12\naL-3L\naF1.5\naI01\naNa.";
    assert_eq!(
        read(pickle).unwrap(),
        json!([{"a": "it's", "b": "café ☃"}, "x\ty\\", 12, -3, 1.5, true, null])
    );
    // A quote inside, and the text again from the memo.
    assert_eq!(
        read(b"(lp0\nS'\"it\\'s\"'\np1\nag1\na.").unwrap(),
        json!(["\"it's\"", "\"it's\""])
    );
}

#[test]
fn only_the_fields_asked_for_matter() {
    #[derive(Deserialize, Debug, PartialEq)]
    struct Wanted {
        id: u32,
        other: Option<String>,
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.p");
    // {'id': 7, 'skipped': [[]], 'other': None}
    fs::write(
        &path,
        b"\x80\x02}(X\x02\0\0\0idK\x07X\x07\0\0\0skipped]]aX\x05\0\0\0otherNu.",
    )
    .unwrap();
    let wanted: Wanted = read_plain_pickle(&path).unwrap();
    assert_eq!(wanted, Wanted { id: 7, other: None });
    // A number out of the type's range is an error that names the file.
    fs::write(&path, b"\x80\x02}(X\x02\0\0\0idJ\xff\xff\xff\xffu.").unwrap();
    let error = read_plain_pickle::<Wanted>(&path).unwrap_err().to_string();
    assert!(error.contains("x.p") && !error.contains('\n'), "{error}");
}

#[test]
fn names_are_refused_even_those_of_tensors() {
    for (pickle, name) in [
        (
            &b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."[..],
            "os.system",
        ),
        (
            b"\x80\x02ccollections\nOrderedDict\n)R.",
            "collections.OrderedDict",
        ),
        (
            b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.",
            "builtins.eval",
        ),
        (b"(S'ls'\nios\nsystem\n.", "os.system"),
    ] {
        match read(pickle) {
            Err(Error::ForeignData { global, .. }) => assert_eq!(global, name),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn damaged_and_hostile_pickles_give_errors() {
    // Truncated, a list that contains itself, a call without a function, a missing operand.
    for pickle in [
        &b"(lp0\nI1"[..],
        b"\x80\x02]q\x00h\x00a.",
        b"\x80\x02NNR.",
        b"\x80\x02a.",
        b"\x80\x02X\xff\xff\xff\xff",
    ] {
        assert!(
            matches!(read(pickle), Err(Error::Corrupt { .. })),
            "{pickle:?}"
        );
    }
    // Each list holds the previous one twice: 2^40 values if followed.
    let mut bomb = b"\x80\x02]q\x00".to_vec();
    for level in 0..40 {
        bomb.extend([b']', b'q', level + 1, b'h', level, b'a', b'h', level, b'a']);
    }
    bomb.push(b'.');
    let error = read(&bomb).unwrap_err().to_string();
    assert!(error.contains("shares too much"), "{error}");
}
