//! Messages on stderr, as selected by `-v` and `RUST_LOG`.

use std::process::Command;

/// Stderr of `anyref info --devices` with these options and this filter.
fn told(options: &[&str], filter: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anyref"));
    command.args(["info", "--devices"]).args(options);
    command.env_remove("RUST_LOG");
    if let Some(filter) = filter {
        command.env("RUST_LOG", filter);
    }
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn verbose_and_rust_log_show_messages() {
    let message = "debug: anyref ";
    assert_eq!(told(&[], None), "");
    assert!(told(&["-v"], None).contains(message));
    assert!(told(&[], Some("anyref=debug")).contains(message));
    assert!(!told(&["-v"], Some("off")).contains(message));
}
