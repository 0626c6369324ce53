//! Our side of `cargo xtask parity`: loads a part as it is published, computes, and prints seconds
//! and the greatest differences from the reference as JSON.
//!
//!     parity PART FOLDER [TIMES [TILES]]
//!
//! The folder has the part (`part/` or `part.pth`), `input.safetensors` and `expected.safetensors`.

mod llava;
mod measured;
mod parts;
mod sa2va;
mod sam;

use std::error::Error;
use std::path::Path;

use anyref_core::allocator::{MiMalloc, keep_freed_memory};
use anyref_weights::hub::local_path;
use anyref_weights::testing::Fixture;

/// Allocator of the program `anyref`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    keep_freed_memory();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (part, folder, times, tiles) = match &words[..] {
        [part, folder] => (part, folder, 1, 1),
        [part, folder, times] => (part, folder, times.parse()?, 1),
        [part, folder, times, tiles] => (part, folder, times.parse()?, tiles.parse()?),
        _ => return Err("usage: parity PART FOLDER [TIMES [TILES]]".into()),
    };
    let folder = Path::new(folder);
    let whole = folder.join("part");
    let path = if whole.is_dir() {
        whole
    } else {
        folder.join("part.pth")
    };
    let path = local_path(&path)?;
    let input = Fixture::open(folder.join("input.safetensors"));
    let expected = Fixture::open(folder.join("expected.safetensors"));
    let measured = match part.as_str() {
        "lisa-7b" | "glamm" => llava::measure(&path, &input, times)?,
        "sa2va-1b" | "sa2va-1b-f32" => {
            sa2va::measure(part, &path, [&input, &expected], times, tiles)?
        }
        _ => parts::measure(part, &path, &input, times)?,
    };
    println!("{}", measured.compared(&expected)?);
    Ok(())
}
