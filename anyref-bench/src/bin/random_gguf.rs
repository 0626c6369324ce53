//! GGUF files of random weights with the sizes of published LLaMAs, for `cargo xtask bench peers`.
//!
//!     random_gguf SIZE FORMAT FILE
//!
//! SIZE is tiny, 1.1b (TinyLlama's) or 7b (LLaMA-7B's), FORMAT q8_0, q4_0 or q4_k, of all matrices.
//! Norms are f32. The tokenizer is SentencePiece's with made-up words. Rows are drawn and rounded
//! by all threads and written at once, so memory holds a part of one matrix.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyref_llm::written_block_type;
use anyref_ops::blocks::{BlockType, quantize};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rayon::prelude::*;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Rows of a part that is drawn and written at once.
const ROWS: usize = 1024;
/// Alignment of tensors, the format's default.
const ALIGNMENT: u64 = 32;

/// Sizes of a model.
struct Sizes {
    name: &'static str,
    hidden: usize,
    inner: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    context: usize,
    vocabulary: usize,
}

const SIZES: [Sizes; 3] = [
    Sizes {
        name: "tiny",
        hidden: 512,
        inner: 768,
        layers: 2,
        heads: 8,
        kv_heads: 4,
        context: 2048,
        vocabulary: 32_000,
    },
    Sizes {
        name: "1.1b",
        hidden: 2048,
        inner: 5632,
        layers: 22,
        heads: 32,
        kv_heads: 4,
        context: 2048,
        vocabulary: 32_000,
    },
    Sizes {
        name: "7b",
        hidden: 4096,
        inner: 11_008,
        layers: 32,
        heads: 32,
        kv_heads: 32,
        context: 4096,
        vocabulary: 32_000,
    },
];

/// Tensor to write.
struct Tensor {
    name: String,
    /// Rows and columns; a vector has one row.
    shape: [usize; 2],
    /// Format of a matrix; `None` for a norm.
    format: Option<BlockType>,
}

impl Tensor {
    fn bytes(&self) -> u64 {
        let [rows, columns] = self.shape;
        let row = match self.format {
            Some(format) => format.row_bytes(columns).expect("rows of whole blocks"),
            None => 4 * columns,
        };
        (rows * row) as u64
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [size, format, path] = &words[..] else {
        return Err("usage: random_gguf tiny|1.1b|7b q8_0|q4_0|q4_k FILE".into());
    };
    let sizes = SIZES.iter().find(|sizes| sizes.name == size);
    let sizes = sizes.ok_or_else(|| format!("no size {size}: give tiny, 1.1b or 7b"))?;
    let format = written_block_type(format)?;
    let tensors = tensors(sizes, format);
    // A file that appears when it is whole.
    let unfinished = format!("{path}.unfinished");
    let mut file = Output {
        file: BufWriter::new(File::create(&unfinished)?),
        written: 0,
    };
    write_header(&mut file, sizes, format, &tensors)?;
    file.align()?;
    for (seed, tensor) in tensors.iter().enumerate() {
        write_values(&mut file, tensor, seed as u64)?;
        file.align()?;
    }
    file.file.flush()?;
    std::fs::rename(unfinished, path)?;
    Ok(())
}

fn tensors(sizes: &Sizes, format: BlockType) -> Vec<Tensor> {
    let Sizes { hidden, inner, .. } = *sizes;
    let matrix = |name: String, rows, columns| Tensor {
        name: format!("{name}.weight"),
        shape: [rows, columns],
        format: Some(format),
    };
    let norm = |name: String| Tensor {
        name: format!("{name}.weight"),
        shape: [1, hidden],
        format: None,
    };
    let keys = hidden / sizes.heads * sizes.kv_heads;
    let mut tensors = vec![
        matrix("token_embd".into(), sizes.vocabulary, hidden),
        norm("output_norm".into()),
        matrix("output".into(), sizes.vocabulary, hidden),
    ];
    for layer in 0..sizes.layers {
        let name = |part: &str| format!("blk.{layer}.{part}");
        tensors.extend([
            norm(name("attn_norm")),
            norm(name("ffn_norm")),
            matrix(name("attn_q"), hidden, hidden),
            matrix(name("attn_k"), keys, hidden),
            matrix(name("attn_v"), keys, hidden),
            matrix(name("attn_output"), hidden, hidden),
            matrix(name("ffn_gate"), inner, hidden),
            matrix(name("ffn_up"), inner, hidden),
            matrix(name("ffn_down"), hidden, inner),
        ]);
    }
    tensors
}

/// Value of a metadata key.
enum Value<'a> {
    U32(u32),
    F32(f32),
    Text(&'a str),
    Texts(&'a [String]),
    Floats(&'a [f32]),
    Integers(&'a [i32]),
}

fn write_header(
    file: &mut Output,
    sizes: &Sizes,
    format: BlockType,
    tensors: &[Tensor],
) -> Result<()> {
    let pieces = pieces(sizes.vocabulary);
    let (texts, kinds): (Vec<String>, Vec<i32>) = pieces.into_iter().unzip();
    let scores: Vec<f32> = (0..texts.len()).map(|id| -(id as f32)).collect();
    let head = sizes.hidden / sizes.heads;
    let name = format!("random {} {format}", sizes.name);
    // Number of the format in llama.cpp's `llama_ftype`.
    let file_type = match format {
        BlockType::Q8_0 => 7,
        BlockType::Q4_0 => 2,
        _ => 15,
    };
    let metadata = [
        ("general.architecture", Value::Text("llama")),
        ("general.name", Value::Text(&name)),
        ("general.file_type", Value::U32(file_type)),
        ("general.quantization_version", Value::U32(2)),
        ("llama.block_count", Value::U32(sizes.layers as u32)),
        ("llama.context_length", Value::U32(sizes.context as u32)),
        ("llama.embedding_length", Value::U32(sizes.hidden as u32)),
        ("llama.feed_forward_length", Value::U32(sizes.inner as u32)),
        ("llama.attention.head_count", Value::U32(sizes.heads as u32)),
        (
            "llama.attention.head_count_kv",
            Value::U32(sizes.kv_heads as u32),
        ),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.dimension_count", Value::U32(head as u32)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("llama.vocab_size", Value::U32(sizes.vocabulary as u32)),
        ("tokenizer.ggml.model", Value::Text("llama")),
        ("tokenizer.ggml.tokens", Value::Texts(&texts)),
        ("tokenizer.ggml.scores", Value::Floats(&scores)),
        ("tokenizer.ggml.token_type", Value::Integers(&kinds)),
        ("tokenizer.ggml.unknown_token_id", Value::U32(0)),
        ("tokenizer.ggml.bos_token_id", Value::U32(1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(2)),
    ];
    file.write(b"GGUF")?;
    file.number(3u32.to_le_bytes())?;
    file.number((tensors.len() as u64).to_le_bytes())?;
    file.number((metadata.len() as u64).to_le_bytes())?;
    for (key, value) in &metadata {
        file.text(key)?;
        file.value(value)?;
    }
    let mut offset = 0u64;
    for tensor in tensors {
        file.text(&tensor.name)?;
        let [rows, columns] = tensor.shape;
        // Sizes, innermost first.
        let dims = [columns as u64, rows as u64];
        let dims = &dims[..if tensor.format.is_some() { 2 } else { 1 }];
        file.number((dims.len() as u32).to_le_bytes())?;
        for &dim in dims {
            file.number(dim.to_le_bytes())?;
        }
        // Number of the type in `ggml_type`.
        let number: u32 = match tensor.format {
            None => 0,
            Some(BlockType::Q8_0) => 8,
            Some(BlockType::Q4_0) => 2,
            Some(_) => 12,
        };
        file.number(number.to_le_bytes())?;
        file.number(offset.to_le_bytes())?;
        offset = (offset + tensor.bytes()).next_multiple_of(ALIGNMENT);
    }
    Ok(())
}

/// Texts and types of the tokens: the special ones, all bytes, then made-up words of up to three
/// letters, each also at the beginning of a word, so that most have two merges.
fn pieces(count: usize) -> Vec<(String, i32)> {
    const UNKNOWN: i32 = 2;
    const CONTROL: i32 = 3;
    const NORMAL: i32 = 1;
    const BYTE: i32 = 6;
    let special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)];
    let special = special.map(|(text, kind)| (text.to_owned(), kind));
    let bytes = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), BYTE));
    let mut words = vec!["▁".to_owned()];
    let mut longest = vec![String::new()];
    for _ in 0..3 {
        let longer = longest
            .iter()
            .flat_map(|word| ('a'..='z').map(move |letter| format!("{word}{letter}")));
        longest = longer.collect();
        words.extend(longest.iter().cloned());
        words.extend(longest.iter().map(|word| format!("▁{word}")));
    }
    let words = words.into_iter().map(|word| (word, NORMAL));
    special
        .into_iter()
        .chain(bytes)
        .chain(words)
        .take(count)
        .collect()
}

/// Writes random values; products of a row have a variance near that of their inputs.
fn write_values(file: &mut Output, tensor: &Tensor, seed: u64) -> Result<()> {
    let [rows, columns] = tensor.shape;
    let Some(format) = tensor.format else {
        return (0..columns).try_for_each(|_| file.number(1f32.to_le_bytes()));
    };
    let spread = (3.0 / columns as f32).sqrt();
    let row = |row: usize| {
        let mut random = SmallRng::seed_from_u64(seed << 32 | row as u64);
        let values = (0..columns).map(|_| spread * random.random_range(-1.0f32..1.0));
        quantize(&values.collect::<Vec<_>>(), format)
    };
    for first in (0..rows).step_by(ROWS) {
        let part = first..rows.min(first + ROWS);
        let part: Vec<Vec<u8>> = part.into_par_iter().map(row).collect::<Result<_, _>>()?;
        part.iter().try_for_each(|row| file.write(row))?;
    }
    Ok(())
}

/// File that is written from the beginning on.
struct Output {
    file: BufWriter<File>,
    written: u64,
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        Ok(self.file.write_all(bytes)?)
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) -> Result<()> {
        self.write(&bytes)
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.number((text.len() as u64).to_le_bytes())?;
        self.write(text.as_bytes())
    }

    /// Writes a value after the number of its type.
    fn value(&mut self, value: &Value<'_>) -> Result<()> {
        const U32: u32 = 4;
        const I32: u32 = 5;
        const F32: u32 = 6;
        const TEXT: u32 = 8;
        const ARRAY: u32 = 9;
        let mut array = |of_type: u32, count: usize| {
            self.number(ARRAY.to_le_bytes())?;
            self.number(of_type.to_le_bytes())?;
            self.number((count as u64).to_le_bytes())
        };
        match value {
            Value::Texts(texts) => {
                array(TEXT, texts.len())?;
                texts.iter().try_for_each(|text| self.text(text))
            }
            Value::Floats(values) => {
                array(F32, values.len())?;
                let mut values = values.iter();
                values.try_for_each(|value| self.number(value.to_le_bytes()))
            }
            Value::Integers(values) => {
                array(I32, values.len())?;
                let mut values = values.iter();
                values.try_for_each(|value| self.number(value.to_le_bytes()))
            }
            Value::U32(value) => {
                self.number(U32.to_le_bytes())?;
                self.number(value.to_le_bytes())
            }
            Value::F32(value) => {
                self.number(F32.to_le_bytes())?;
                self.number(value.to_le_bytes())
            }
            Value::Text(text) => {
                self.number(TEXT.to_le_bytes())?;
                self.text(text)
            }
        }
    }

    /// Continues at a multiple of the alignment.
    fn align(&mut self) -> Result<()> {
        let end = self.written.next_multiple_of(ALIGNMENT);
        let padding = vec![0; (end - self.written) as usize];
        self.write(&padding)
    }
}
