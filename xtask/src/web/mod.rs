//! `cargo xtask web`: the page with its model as a folder of static files.

mod bindings;
mod compiler;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cargo::root;
use compiler::Compiler;

/// Forms of the program, of which the page loads one: the feature that it is compiled with, and the
/// name of its module.
const PROCESSOR: (&str, &str) = ("flex", "anyref_web");
const WEBGPU: (&str, &str) = ("webgpu", "anyref_webgpu");
/// Files of the model, which the page loads.
const MODEL: [&str; 4] = [
    "config.json",
    "tokenizer.json",
    "model.safetensors",
    "nouns.txt",
];
/// Files that the page shares with the server's page.
const SHARED: [&str; 3] = ["index.html", "style.css", "icon.svg"];
/// Files of this page only.
const OWN: [&str; 2] = ["page.js", "worker.js"];
/// Largest number of bytes that the page may load before it answers on the processor; the scenes
/// are loaded on request.
const MOST_BYTES: usize = 30 << 20;

/// Options of `web`.
#[derive(Debug, Args)]
pub struct Web {
    /// Folder for the files
    #[arg(long, default_value = "out/web", value_name = "DIR")]
    pub out: PathBuf,
    /// Compile with Debian's compiler and standard library (rustc-web, rust-web-src, lld), if
    /// rustup cannot download the target
    #[arg(long)]
    pub debian: bool,
    /// Add a form of the program for WebGPU, which browsers with a GPU load instead
    #[arg(long)]
    pub webgpu: bool,
    /// Keep the names of functions in the program, for profiles
    #[arg(long)]
    pub names: bool,
    /// Also compile the tests of the processor's kernels, into this file
    #[arg(long, value_name = "FILE")]
    pub kernels: Option<PathBuf>,
}

/// Options of `web-bindings`.
#[derive(Debug, Args)]
pub struct WebBindings {
    /// WebAssembly module
    pub module: PathBuf,
    /// Folder for the files
    pub out: PathBuf,
    /// Name of the files
    pub name: String,
    /// Keep the names of functions
    #[arg(long)]
    pub names: bool,
}

/// Writes JavaScript around a module.
pub fn write_bindings(options: &WebBindings) -> Result<()> {
    bindings::write(&options.module, &options.out, &options.name, options.names)
}

/// Writes the folder.
pub fn run(options: &Web) -> Result<()> {
    let root = root();
    let compiler = Compiler::find(options.debian)?;
    let out = &options.out;
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut forms = vec![PROCESSOR];
    write_form(PROCESSOR, compiler, options)?;
    if let Some(file) = &options.kernels {
        copy(&compiler.kernel_tests()?, file)?;
    }
    if options.webgpu {
        forms.push(WEBGPU);
        write_form(WEBGPU, compiler, options)?;
    }
    for name in SHARED {
        copy(
            &root.join("anyref-server/assets/page").join(name),
            &out.join(name),
        )?;
    }
    for name in OWN {
        copy(&root.join("anyref-web/page").join(name), &out.join(name))?;
    }
    for name in MODEL {
        copy(
            &root.join("assets/nano").join(name),
            &out.join("model").join(name),
        )?;
    }
    for entry in fs::read_dir(root.join("assets/demo"))? {
        let entry = entry?;
        copy(&entry.path(), &out.join("demo").join(entry.file_name()))?;
    }
    let lists = forms.iter().map(|&(backend, name)| {
        let mut loaded = vec![format!("{name}_bg.wasm")];
        loaded.extend(MODEL.map(|name| format!("model/{name}")));
        let sizes = loaded.into_iter().map(|name| {
            let size = fs::metadata(out.join(&name))?.len();
            Ok((name, size))
        });
        Ok((backend, sizes.collect::<Result<BTreeMap<_, _>>>()?))
    });
    let lists = lists.collect::<Result<BTreeMap<_, _>>>()?;
    fs::write(out.join("files.json"), serde_json::to_string(&lists)?)?;
    report(out)
}

/// Compiles a form of the program, and writes it with its JavaScript.
fn write_form((backend, name): (&str, &str), compiler: Compiler, options: &Web) -> Result<()> {
    let module = compiler.module(backend)?;
    bindings::write(&module, &options.out, name, options.names)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Prints the size of each part, plain and compressed.
fn report(out: &Path) -> Result<()> {
    let mut parts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for file in files(out)? {
        let content = fs::read(&file)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&content)?;
        let compressed = encoder.finish()?.len();
        let below = file.strip_prefix(out)?;
        let part = match below.extension().and_then(|ending| ending.to_str()) {
            _ if below.to_string_lossy().starts_with(WEBGPU.1) => "webgpu",
            Some("wasm") => "program",
            _ if below.starts_with("model") => "model",
            _ if below.starts_with("demo") => "scenes",
            _ => "page",
        };
        for part in [part, "in all"] {
            let sum = parts.entry(part).or_default();
            sum.0 += content.len();
            sum.1 += compressed;
        }
    }
    let megabytes = |bytes: usize| bytes as f64 / (1 << 20) as f64;
    for (part, (raw, compressed)) in &parts {
        let (raw, compressed) = (megabytes(*raw), megabytes(*compressed));
        println!("{part:8} {raw:6.2} MiB, gzip {compressed:6.2} MiB");
    }
    let size = |part: &str| parts.get(part).map_or(0, |sum| sum.0);
    let loaded = size("in all") - size("scenes") - size("webgpu");
    ensure!(
        loaded <= MOST_BYTES,
        "{:.1} MiB to load, {:.0} MiB are allowed",
        megabytes(loaded),
        megabytes(MOST_BYTES)
    );
    println!("{}", out.display());
    Ok(())
}

/// Files below a folder, recursively.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => found.extend(files(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}
