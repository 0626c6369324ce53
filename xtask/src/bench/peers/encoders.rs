//! Encoders and mask decoders, against PyTorch, ONNX Runtime, OpenVINO and candle.

use std::process::Command;

use anyhow::Result;

use super::super::process::peak_memory;
use super::super::program::{Program, number};
use super::super::statistics::median;
use super::machine::Machine;
use super::options::Peers;
use super::parts::{CANDLE, PARTS, Part};
use crate::cargo::{built, built_apart, script};

/// Forms of the other programs: in f32, and in fewer bits.
const FORMS: [&[(&str, &str)]; 2] = [
    &[
        ("torch", "f32"),
        ("onnxruntime", "f32"),
        ("openvino", "f32"),
        (CANDLE, "f32"),
    ],
    &[
        ("torch", "bf16"),
        ("onnxruntime", "int8"),
        ("openvino", "bf16"),
        ("openvino", "int8"),
    ],
];
/// Our forms beside them.
const OURS: [&[&str]; 2] = [&["f32"], &["bf16", "q8_0", "int8"]];
/// Forms of the matrices of encoders alone.
const IN_BLOCKS: [&str; 2] = ["q8_0", "int8"];

/// Bytes of freed memory that candle's process keeps.
const KEPT: &str = "16000000000";

/// Program that has the part in a form.
struct Side {
    name: String,
    /// Request of a run.
    request: &'static str,
    program: Program,
    seconds: Vec<f64>,
}

/// Measures a part in f32, then in fewer bits, with all programs in turns.
pub(super) fn run(options: &Peers, name: &str, machine: &Machine) -> Result<()> {
    let part = PARTS.iter().find(|part| part.name == name);
    let part = part.expect("one of the possible values");
    println!("\n{}, {} threads", part.title, options.threads);
    println!("| program | time | here / it | of the peak | peak memory |");
    println!("| --- | --: | --: | --: | --: |");
    for (ours, theirs) in OURS.into_iter().zip(FORMS) {
        let ours = ours
            .iter()
            .filter(|form| part.in_blocks || !IN_BLOCKS.contains(form));
        let mut sides = Vec::new();
        for form in ours {
            sides.push(our_side(options, part, form)?);
        }
        let count = sides.len();
        let asked = |program: &str| {
            let has_part = program != CANDLE || part.in_candle;
            has_part && options.program.iter().any(|asked| asked == program)
        };
        for &(program, form) in theirs.iter().filter(|(program, _)| asked(program)) {
            match their_side(options, part, program, form) {
                Ok(side) => sides.push(side),
                Err(error) => eprintln!("{program} in {form}: {error:#}"),
            }
        }
        // One run to warm up.
        for side in &mut sides {
            side.program.ask(side.request)?;
        }
        for _ in 0..options.repeat {
            for side in &mut sides {
                side.seconds.push(side.program.take_turn(side.request)?);
            }
        }
        print(&sides, count, machine);
    }
    Ok(())
}

/// Prints a line for each side; the first `ours` are ours.
fn print(sides: &[Side], ours: usize, machine: &Machine) {
    let times = sides.iter().map(|side| median(&side.seconds));
    let times: Vec<f64> = times.collect();
    let best = times[..ours].iter().copied().fold(f64::INFINITY, f64::min);
    let flops = sides
        .iter()
        .find_map(|side| number(&side.program.about, "flops").ok());
    for (index, (side, &seconds)) in sides.iter().zip(&times).enumerate() {
        let ratio = match index < ours {
            true => String::new(),
            false => format!("{:.2}", best / seconds),
        };
        let share = flops.map(|flops| 100.0 * machine.share(flops, 0.0, seconds));
        let share = share.map_or(String::new(), |share| format!("{share:.0} %"));
        let memory = peak_memory(side.program.id());
        let memory = memory.map_or(String::new(), |bytes| format!("{:.0} MB", bytes / 1e6));
        let time = seconds * 1e3;
        println!(
            "| {} | {time:.1} ms | {ratio} | {share} | {memory} |",
            side.name
        );
    }
}

fn our_side(options: &Peers, part: &Part, form: &str) -> Result<Side> {
    let mut command = Command::new(built("parts_bench", &[])?);
    command.args(["flex", "anyref-7b", form, part.sam]);
    command.env("RAYON_NUM_THREADS", options.threads.to_string());
    Ok(Side {
        name: format!("here, {form}"),
        request: part.ours,
        program: Program::start(&mut command)?,
        seconds: Vec::new(),
    })
}

fn their_side(options: &Peers, part: &Part, program: &str, form: &str) -> Result<Side> {
    let mut command = match program {
        CANDLE => candle(options, part)?,
        _ => python(options, part, program, form)?,
    };
    let program_started = Program::start(&mut command)?;
    let about = program_started.about["about"].as_str().unwrap_or(program);
    Ok(Side {
        name: format!("{about}, {form}"),
        request: "run",
        program: program_started,
        seconds: Vec::new(),
    })
}

fn python(options: &Peers, part: &Part, program: &str, form: &str) -> Result<Command> {
    let threads = options.threads.to_string();
    let python = options.part_python.as_ref().unwrap_or(&options.python);
    let mut command = Command::new(python);
    command
        .arg(script("peer_encoders.py"))
        .args([part.name, program, form, &threads])
        .arg(options.folder()?)
        // Idle threads must not take time from the other sides.
        .env("OMP_WAIT_POLICY", "passive")
        .env("OMP_NUM_THREADS", &threads);
    Ok(command)
}

fn candle(options: &Peers, part: &Part) -> Result<Command> {
    let mut command = Command::new(built_apart("anyref-bench/candle", "candle_bench")?);
    command
        .arg(part.name)
        .env("RAYON_NUM_THREADS", options.threads.to_string())
        // glibc keeps what is freed, as the allocator here does: otherwise a third of SAM's time
        // goes to fresh pages.
        .env("MALLOC_MMAP_THRESHOLD_", KEPT)
        .env("MALLOC_TRIM_THRESHOLD_", KEPT);
    Ok(command)
}
