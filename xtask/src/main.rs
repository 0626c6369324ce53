//! Development tasks of the AnyRef workspace: `cargo xtask <task>`.
fn main() {}
