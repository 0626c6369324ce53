//! `cargo xtask bench peers`: models here and in the programs that people use for them, taking
//! turns in one run.

mod encoders;
mod language;
mod machine;
mod options;
mod parts;

use anyhow::{Result, ensure};

use machine::Machine;
pub use options::Peers;

/// Measures all programs in turns.
pub fn run(options: &Peers) -> Result<()> {
    ensure!(
        !(options.model.is_empty() && options.random.is_empty() && options.part.is_empty()),
        "nothing to measure: give --model, --random or --part"
    );
    ensure!(options.repeat > 0, "--repeat is 0");
    let machine = Machine::measured(options.threads)?;
    println!("{machine}");
    let random = options.random.iter();
    let random = random.map(|name| language::random(name, &options.folder()?));
    let random = random.collect::<Result<Vec<_>>>()?;
    for model in options.model.iter().chain(&random) {
        language::run(options, model, &machine)?;
    }
    for part in &options.part {
        encoders::run(options, part, &machine)?;
    }
    Ok(())
}
