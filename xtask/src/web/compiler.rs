//! Compilation for WebAssembly.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::{cargo, root, run, target, timed};

const TARGET: &str = "wasm32-unknown-unknown";
/// Compiler flags for 128-bit SIMD.
const FLAGS: &str = "-C target-feature=+simd128";
/// Crates compiled for size: they read files, lay out questions and write answers, and call the
/// kernels of others.
const SMALL: [&str; 21] = [
    "aho-corasick",
    "anyref-api",
    "anyref-core",
    "anyref-llm",
    "anyref-weights",
    "anyref-web",
    "burn-backend",
    "burn-tensor",
    "encoding_rs",
    "fancy-regex",
    "minijinja",
    "regex-automata",
    "regex-syntax",
    "serde_json",
    "symphonia-bundle-mp3",
    "symphonia-codec-vorbis",
    "symphonia-core",
    "symphonia-format-ogg",
    "symphonia-metadata",
    "tiff",
    "tokenizers",
];
/// Linker argument for a stack that allows deep calls.
const STACK: &str = "link-arg=-zstack-size=4194304";
/// Debian's compiler for browsers, and the place where it looks for the source of its standard
/// library.
const DEBIAN: [&str; 2] = ["/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library"];

/// Compiler for WebAssembly.
#[derive(Clone, Copy, Debug)]
pub struct Compiler {
    debian: bool,
}

impl Compiler {
    /// Finds Debian's compiler, or that of rustup, whose target is downloaded if it is missing.
    pub fn find(debian: bool) -> Result<Self> {
        match debian {
            true => check_debian()?,
            false => add_target()?,
        }
        Ok(Self { debian })
    }

    /// Compiles `anyref-web` with a backend's feature; returns the module, which the next
    /// compilation overwrites.
    pub fn module(self, backend: &str) -> Result<PathBuf> {
        let mut build = self.cargo("rustc", "std,panic_abort");
        build.args(["--package", "anyref-web", "--no-default-features"]);
        build.args(["--features", backend]);
        build.args(["--lib", "--crate-type", "cdylib", "--", "-C", STACK]);
        timed(&mut build)?;
        let module = target().join(TARGET).join("release/anyref_web.wasm");
        ensure!(module.is_file(), "cargo built no {}", module.display());
        Ok(module)
    }

    /// Compiles the tests of the processor's kernels; returns the module.
    pub fn kernel_tests(self) -> Result<PathBuf> {
        let mut build = self.cargo("test", "std,panic_abort,test");
        build.args(["--no-run", "--package", "anyref-ops", "--lib"]);
        timed(&mut build)?;
        // Once more, for the name: messages for programs would hide those for people.
        let output = build.arg("--message-format=json").output()?;
        let messages = String::from_utf8_lossy(&output.stdout);
        messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .context("cargo built no tests of anyref-ops")
    }

    /// Cargo for WebAssembly, which compiles `library` too where there is none.
    fn cargo(self, task: &str, library: &str) -> Command {
        let mut build = cargo();
        if self.debian {
            let [compiler, _] = DEBIAN;
            build.env("RUSTC", compiler).env("RUSTC_BOOTSTRAP", "1");
            build.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
            build.args(["-Z", &format!("build-std={library}")]);
        }
        build.args([task, "--release", "--target", TARGET]);
        for name in SMALL {
            let setting = format!("profile.release.package.{name}.opt-level=\"s\"");
            build.args(["--config", &setting]);
        }
        build.env("RUSTFLAGS", FLAGS).current_dir(root());
        build
    }
}

/// Downloads the standard library of the target if the compiler has none.
fn add_target() -> Result<()> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(root())
        .output()
        .context("cannot start rustc")?;
    let library = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]).current_dir(root())).context(
        "the compiler has no wasm32-unknown-unknown; on Debian, install rustc-web, rust-web-src and \
         lld, and give --debian",
    )
}

/// Checks that Debian's compiler is there, which compiles the standard library too.
fn check_debian() -> Result<()> {
    let [compiler, library] = DEBIAN;
    for (path, package) in [
        (compiler, "rustc-web"),
        (library, "rust-web-src, and link it as docs/web.md says"),
        ("/usr/bin/wasm-ld", "lld"),
    ] {
        ensure!(
            Path::new(path).exists(),
            "there is no {path}: install {package}"
        );
    }
    Ok(())
}
