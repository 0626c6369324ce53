//! Place of the files that the program carries. In the repository they are in `assets` beside this
//! crate, and nano's weights go into the program. The crate as published has the small ones in its
//! own `assets`, and a program built of it fetches the weights once.

use std::env;
use std::path::Path;

/// Builds the form that fetches the weights, in the repository too.
const WITHOUT_NANO: &str = "ANYREF_WITHOUT_NANO";

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let here = Path::new(&here);
    let beside = here.join("../assets");
    let weights = beside.join("nano/model.safetensors");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={WITHOUT_NANO}");
    println!("cargo::rustc-check-cfg=cfg(nano_embedded)");
    let assets = match beside.join("demo/demo.json").is_file() {
        true => beside,
        false => here.join("assets"),
    };
    println!("cargo::rustc-env=ANYREF_ASSETS={}", assets.display());
    if weights.is_file() && env::var_os(WITHOUT_NANO).is_none() {
        println!("cargo::rustc-cfg=nano_embedded");
    }
}
