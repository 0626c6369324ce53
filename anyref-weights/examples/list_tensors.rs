//! Tensors of a checkpoint with shape, type and range: safetensors, PyTorch, GGUF or a folder.
//!
//! ```sh
//! cargo run --release -p anyref-weights --example list_tensors
//! cargo run --release -p anyref-weights --example list_tensors -- FILE [PREFIX]
//! ```
//!
//! Nothing in a PyTorch file is run, and a tensor is read when its values are asked for.

use anyhow::Result;
use anyref_weights::Checkpoint;

const FILE: &str = "assets/nano";
const PREFIX: &str = "mm_projector.";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().map_or(FILE, String::as_str);
    let all = if arguments.is_empty() { PREFIX } else { "" };
    let prefix = arguments.get(1).map_or(all, String::as_str);
    let checkpoint = Checkpoint::open(file)?;
    let (mut shown, mut values) = (0, 0);
    for tensor in checkpoint.tensors() {
        values += tensor.shape.iter().product::<usize>();
        if !tensor.name.starts_with(prefix) {
            continue;
        }
        shown += 1;
        print!("{} {:?} {:?}", tensor.name, tensor.shape, tensor.dtype);
        let data = tensor.read()?.convert::<f32>();
        let (mut least, mut greatest) = (f32::INFINITY, f32::NEG_INFINITY);
        for value in data.iter::<f32>() {
            (least, greatest) = (least.min(value), greatest.max(value));
        }
        println!(" {least:.3} to {greatest:.3}");
    }
    println!("{file}: {values} values, {shown} tensors shown");
    Ok(())
}
