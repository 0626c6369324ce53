//! Compilation for WebAssembly.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{cargo, root, run, target, timed};

const TARGET: &str = "wasm32-unknown-unknown";
/// Compiler flags for 128-bit SIMD.
const FLAGS: &str = "-C target-feature=+simd128";
/// Crates compiled for size: they read files, lay out questions and write answers, and call the
/// kernels of others.
const SMALL: [&str; 8] = [
    "anyref-api",
    "anyref-core",
    "anyref-llm",
    "anyref-web",
    "minijinja",
    "regex-automata",
    "regex-syntax",
    "symphonia-bundle-mp3",
];
/// Linker argument for a stack that allows deep calls.
const STACK: &str = "link-arg=-zstack-size=4194304";
/// Debian's compiler for browsers, and the place where it looks for the source of its standard
/// library.
const DEBIAN: [&str; 2] = ["/usr/bin/rustc", "/usr/lib/rustlib/src/rust/library"];

/// Compiles `anyref-web`; returns the module.
pub fn compile(debian: bool) -> Result<PathBuf> {
    let mut build = cargo();
    if debian {
        use_debian(&mut build)?;
    } else {
        add_target()?;
    }
    build.args([
        "rustc",
        "--release",
        "--package",
        "anyref-web",
        "--target",
        TARGET,
    ]);
    for name in SMALL {
        let setting = format!("profile.release.package.{name}.opt-level=\"s\"");
        build.args(["--config", &setting]);
    }
    build.args(["--lib", "--crate-type", "cdylib", "--", "-C", STACK]);
    build.env("RUSTFLAGS", FLAGS).current_dir(root());
    timed(&mut build)?;
    let module = target().join(TARGET).join("release/anyref_web.wasm");
    ensure!(module.is_file(), "cargo built no {}", module.display());
    Ok(module)
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

/// Makes cargo use Debian's compiler, and compile the standard library too.
fn use_debian(build: &mut Command) -> Result<()> {
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
    build.env("RUSTC", compiler).env("RUSTC_BOOTSTRAP", "1");
    build.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld");
    build.args(["-Z", "build-std=std,panic_abort"]);
    Ok(())
}
