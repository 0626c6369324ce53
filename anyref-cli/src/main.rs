//! The anyref command.
fn main() {}
