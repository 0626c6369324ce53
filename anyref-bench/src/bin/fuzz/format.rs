//! Formats that the workspace parses itself, with seed files.

use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anyref_audio::Waveform;
use anyref_decoder::rle::Rle;
use anyref_llm::{SentencePieceConfig, Tokenizer};
use anyref_weights::{Checkpoint, GgufMetadata, read_plain_pickle};
use tempfile::TempDir;

/// Reads an input completely, or returns the reason for rejecting it on one line.
type Read = fn(&Path, &[u8]) -> Result<(), String>;

/// Name, seed files (relative to the workspace's root), reader.
const FORMATS: [(&str, &[&str], Read); 11] = [
    (
        "safetensors",
        &[
            "anyref-weights/tests/fixtures/net.safetensors",
            "anyref-weights/tests/fixtures/net_bf16.safetensors",
            "anyref-weights/tests/fixtures/views.safetensors",
            "anyref-weights/tests/fixtures/f8.safetensors",
        ],
        checkpoint,
    ),
    (
        "torch",
        &[
            "anyref-weights/tests/fixtures/net.pt",
            "anyref-weights/tests/fixtures/net_nested.pt",
            "anyref-weights/tests/fixtures/net_protocol4.pt",
            "anyref-weights/tests/fixtures/net_bf16.bin",
            "anyref-weights/tests/fixtures/views.pt",
        ],
        checkpoint,
    ),
    (
        "torch-legacy",
        &[
            "anyref-weights/tests/fixtures/net_legacy.pth",
            "anyref-weights/tests/fixtures/views_legacy.pt",
        ],
        checkpoint,
    ),
    (
        "gguf",
        &[
            "anyref-weights/tests/fixtures/blocks.gguf",
            "anyref-weights/tests/fixtures/parts-00002-of-00002.gguf",
            "anyref-llm/tests/fixtures/gguf/smollm.gguf",
        ],
        checkpoint,
    ),
    (
        "index",
        &["anyref-weights/tests/fixtures/sharded/model.safetensors.index.json"],
        index,
    ),
    ("pickle", &[], pickle),
    (
        "sentencepiece",
        &["anyref-core/tests/fixtures/lisa/tokenizer.model"],
        sentencepiece,
    ),
    ("tokenizer-json", &["assets/nano/tokenizer.json"], tokenizer),
    (
        "tokenizer-gguf",
        &[
            "anyref-llm/tests/fixtures/gguf/smollm.gguf",
            "anyref-llm/tests/fixtures/gguf/llama.gguf",
        ],
        tokenizer_of_gguf,
    ),
    (
        "sound",
        &[
            "anyref-audio/tests/fixtures/sounds/adpcm.wav",
            "anyref-audio/tests/fixtures/sounds/u8.wav",
            "anyref-audio/tests/fixtures/sounds/lame.mp3",
            "anyref-audio/tests/fixtures/sounds/vorbis.ogg",
            "anyref-audio/tests/fixtures/sounds/s16.flac",
        ],
        sound,
    ),
    ("rle", &[], rle),
];

/// Format with its seeds.
pub struct Format {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    read: Read,
    folder: TempDir,
}

impl Format {
    /// Opens the seeds of the named formats, or of all formats if no name is given.
    ///
    /// # Errors
    /// When a format does not exist, or a file cannot be read.
    pub fn open(wanted: &[String]) -> Result<Vec<Self>, Box<dyn Error>> {
        let known = FORMATS.map(|(name, ..)| name);
        if let Some(other) = wanted.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("there is no format {other:?}, only {}", known.join(", ")).into());
        }
        let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
        let formats = FORMATS.into_iter().filter(|(name, ..)| asked(name));
        formats
            .map(|(name, paths, read)| Self::of_files(name, paths, read))
            .collect()
    }

    fn of_files(name: &'static str, paths: &[&str], read: Read) -> Result<Self, Box<dyn Error>> {
        let mut seeds = match name {
            "pickle" => PICKLES.map(<[u8]>::to_vec).to_vec(),
            "rle" => RUNS.map(|runs| runs.as_bytes().to_vec()).to_vec(),
            _ => Vec::new(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for path in paths {
            let path = root.join(path);
            seeds.push(fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?);
        }
        // A folder in memory, if available.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        if name == "index" {
            let shards = root.join("anyref-weights/tests/fixtures/sharded");
            for shard in fs::read_dir(shards)? {
                let shard = shard?;
                fs::copy(shard.path(), folder.path().join(shard.file_name()))?;
            }
        }
        Ok(Self {
            name,
            seeds,
            read,
            folder,
        })
    }

    /// Name of the format.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Seed files.
    pub fn seeds(&self) -> &[Vec<u8>] {
        &self.seeds
    }

    /// Bytes that an input may allocate regardless of its size. Symphonia requests zeroed memory of
    /// the length claimed by a comment, at most 4 GiB, of which only pages filled from the file
    /// become resident.
    pub fn free_bytes(&self) -> usize {
        match self.name {
            "sound" => 5 << 30,
            _ => 16 << 20,
        }
    }

    /// Reads an input completely.
    ///
    /// # Errors
    /// The reader's message, when it rejects the input.
    pub fn read(&self, bytes: &[u8]) -> Result<(), String> {
        (self.read)(self.folder.path(), bytes)
    }
}

/// Annotations as pickled by Python, in protocols 0, 2 and 4.
const PICKLES: [&[u8]; 3] = [
    b"(lp0\n(dp1\nS'a'\np2\nS\"it's\"\np3\nsVb\np4\nVcaf\xe9 \\u2603\np5\nsaS'x\\ty\\\\'\n\
      p6\naI12\naL-3L\naF1.5\naI01\naNa.",
    b"\x80\x02]q\0(}q\x01(X\x02\0\0\0idK\x07X\x04\0\0\0bbox](G@(\0\0\0\0\0\0K\x02M\x01\x02J\xff\
      \xff\xff\x7feX\x05\0\0\0otherNuh\x01e.",
    b"\x80\x04\x95\x1e\0\0\0\0\0\0\0]\x94(}\x94\x8c\x02id\x94\x8a\x09\x01\x02\x03\x04\x05\x06\x07\
      \x08\0s\x88\x89\x86\x94h\0\x8c\x02ab\x94e.",
];

/// Runs of masks in COCO's compressed form, for a picture of 40 × 30.
const RUNS: [&str; 3] = ["`05[1O2N2N1O1O1O1O10000000000", "0`U1", "\\81[10O0010O00"];

fn words(error: impl Display) -> String {
    error.to_string()
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(words)?;
    Ok(path)
}

fn read_all(checkpoint: &Checkpoint) -> Result<(), String> {
    for tensor in checkpoint.tensors() {
        tensor.read().map_err(words)?;
    }
    Ok(())
}

fn checkpoint(_: &Path, bytes: &[u8]) -> Result<(), String> {
    let checkpoint = Checkpoint::from_bytes("mutated", bytes.to_vec()).map_err(words)?;
    read_all(&checkpoint)
}

fn index(folder: &Path, bytes: &[u8]) -> Result<(), String> {
    let path = written(folder, "model.safetensors.index.json", bytes)?;
    read_all(&Checkpoint::open(path).map_err(words)?)
}

fn pickle(folder: &Path, bytes: &[u8]) -> Result<(), String> {
    let path = written(folder, "refs.p", bytes)?;
    let read = read_plain_pickle::<serde_json::Value>(path);
    read.map(drop).map_err(words)
}

/// Text that each loaded tokenizer encodes.
const TEXT: &str = "the dog, café ☃\t<s>123";

fn encoded(tokenizer: &Tokenizer) -> Result<(), String> {
    let ids = tokenizer.encode(TEXT, false).map_err(words)?;
    tokenizer.decode(&ids).map(drop).map_err(words)
}

fn sentencepiece(_: &Path, bytes: &[u8]) -> Result<(), String> {
    let config = SentencePieceConfig::default();
    encoded(&Tokenizer::from_sentencepiece(bytes, config).map_err(words)?)
}

fn tokenizer(_: &Path, bytes: &[u8]) -> Result<(), String> {
    encoded(&Tokenizer::from_bytes(bytes).map_err(words)?)
}

fn tokenizer_of_gguf(folder: &Path, bytes: &[u8]) -> Result<(), String> {
    let path = written(folder, "model.gguf", bytes)?;
    let metadata = GgufMetadata::open(path).map_err(words)?;
    encoded(&Tokenizer::from_gguf(&metadata).map_err(words)?)
}

fn sound(_: &Path, bytes: &[u8]) -> Result<(), String> {
    Waveform::decode(bytes, "mutated").map(drop).map_err(words)
}

fn rle(_: &Path, bytes: &[u8]) -> Result<(), String> {
    let runs = String::from_utf8_lossy(bytes);
    let rle = Rle::from_compressed(&runs, [30, 40]).map_err(words)?;
    assert_eq!(rle.to_mask().len(), 1200);
    let again = Rle::from_compressed(&rle.to_compressed(), rle.size()).map_err(words)?;
    assert_eq!(again.counts(), rle.counts());
    Ok(())
}
