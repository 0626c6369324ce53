//! A model in a GGUF file, measured and compared for `cargo xtask bench peers`.
//!
//!     gguf_bench MODEL [f32|f16|bf16|q8_0]
//!
//! The type is that of keys and values. Prints the seconds of loading, the number of values in
//! matrices and their bytes as JSON on one line, then answers lines of a task: `prompt N` and
//! `decode N` with the seconds of reading N tokens and of one of N tokens chosen, `tokens TEXT`
//! with the ids of a text, `logits FILE` with the number of scores written to the file as f32,
//! those after each token of the last `tokens`.

use std::io::{BufRead, Write};
use std::time::Instant;

use anyref_core::allocator::{MiMalloc, keep_freed_memory};
use anyref_llm::{GgufModel, LlamaInput};
use anyref_ops::CacheType;
use burn::tensor::{Int, Tensor, TensorData};

type Backend = burn::backend::Flex;
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Allocator of the program `anyref`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<()> {
    keep_freed_memory();
    let path = std::env::args().nth(1).ok_or("usage: gguf_bench MODEL")?;
    let cache = std::env::args().nth(2).unwrap_or("f32".into());
    let start = Instant::now();
    let mut loaded = GgufModel::load(&path, &Default::default())?;
    loaded.model = loaded.model.with_cache_type(cache.parse::<CacheType>()?)?;
    let served = Served {
        loaded,
        ids: Vec::new(),
    };
    served.serve(start.elapsed().as_secs_f64())
}

/// Model that serves tasks.
struct Served {
    loaded: GgufModel<Backend>,
    ids: Vec<u32>,
}

impl Served {
    fn serve(mut self, seconds: f64) -> Result<()> {
        // Of the head, or of the table where it is the head: other rows of a table are not read.
        let tensors = self.loaded.model.block_tensors("");
        let tied = self.loaded.model.lm_head.is_none();
        let multiplied = tensors
            .iter()
            .filter(|tensor| tied || !tensor.name.contains("embed_tokens"));
        let (mut values, mut bytes) = (0, 0);
        for tensor in multiplied {
            values += tensor.shape.iter().product::<usize>();
            bytes += tensor.bytes();
        }
        println!("{{\"load\": {seconds}, \"values\": {values}, \"bytes\": {bytes}}}");
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let (task, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match task {
                "prompt" => println!("{}", self.prompt(rest.parse()?)),
                "decode" => println!("{}", self.decode(rest.parse()?)),
                "tokens" => {
                    self.ids = self.encode(&rest.replace("\\n", "\n"))?;
                    println!("{:?}", self.ids);
                }
                "logits" => println!("{}", self.write_logits(rest)?),
                _ => return Err(format!("unknown task `{task}`").into()),
            }
        }
        Ok(())
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let tokens = &self.loaded.tokens;
        let bos = tokens.bos.filter(|_| tokens.add_bos);
        let ids = self.loaded.tokenizer.encode(text, false)?;
        Ok(bos.into_iter().chain(ids).collect())
    }

    fn embed(&self, ids: &[u32]) -> Tensor<Backend, 3> {
        let length = ids.len();
        let ids: Vec<i64> = ids.iter().map(|&id| id.into()).collect();
        let ids = TensorData::new(ids, [1, length]);
        let ids = Tensor::<Backend, 2, Int>::from_data(ids, &Default::default());
        self.loaded.model.embed(ids)
    }

    /// Arbitrary token ids; their values do not affect the time.
    fn some_ids(count: usize) -> Vec<u32> {
        (0..count)
            .map(|i| 100 + (i * 7919 % 20_000) as u32)
            .collect()
    }

    fn prompt(&self, count: usize) -> f64 {
        let start = Instant::now();
        let mut cache = self.loaded.model.new_cache();
        let input = LlamaInput::new(self.embed(&Self::some_ids(count)));
        let hidden = self.loaded.model.forward(input, Some(&mut cache)).hidden;
        let logits = self.loaded.model.logits(hidden.narrow(1, count - 1, 1));
        std::hint::black_box(logits.into_data());
        start.elapsed().as_secs_f64()
    }

    fn decode(&self, count: usize) -> f64 {
        let mut cache = self.loaded.model.new_cache();
        let input = LlamaInput::new(self.embed(&Self::some_ids(32)));
        let hidden = self.loaded.model.forward(input, Some(&mut cache)).hidden;
        let mut hidden = hidden.narrow(1, 31, 1);
        let start = Instant::now();
        for _ in 0..count {
            let logits = self.loaded.model.logits(hidden).into_data();
            let scores = logits.as_slice::<f32>().expect("f32");
            let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            let input = LlamaInput::new(self.embed(&[best.unwrap_or(0) as u32]));
            hidden = self.loaded.model.forward(input, Some(&mut cache)).hidden;
        }
        start.elapsed().as_secs_f64() / count as f64
    }

    fn write_logits(&self, path: &str) -> Result<usize> {
        let hidden = self
            .loaded
            .model
            .forward(LlamaInput::new(self.embed(&self.ids)), None)
            .hidden;
        let logits = self.loaded.model.logits(hidden).into_data();
        let bytes = logits.iter::<f32>().flat_map(f32::to_le_bytes);
        let bytes: Vec<u8> = bytes.collect();
        std::fs::File::create(path)?.write_all(&bytes)?;
        Ok(bytes.len() / size_of::<f32>())
    }
}
