//! GPUs without room.

use std::panic;
use std::process;

/// Has the program end, with a line on stderr and exit code 1, where a GPU has no room for a buffer. For programs, before they
/// start a device: CubeCL 0.10's thread of the device panics then and goes on, and what is computed after that is wrong
/// without an error. All other panics go to the hook that there was.
pub fn end_without_room() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some(bytes) = info.payload_as_str().and_then(lacking) {
            eprintln!(
                "error: the device has no room for a buffer of {:.0} MB: use a smaller model, half precision or another \
                 backend",
                bytes as f64 / 1e6
            );
            process::exit(1);
        }
        hook(info);
    }));
}

/// The bytes that CubeCL says it cannot allocate.
fn lacking(said: &str) -> Option<u64> {
    let (_, size) = said.split_once("can't allocate buffer of size: ")?;
    size.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_does_not_fit_is_known_by_its_size() {
        // As servers of cubecl 0.10 panic.
        let said = "called `Result::unwrap()` on an `Err` value: can't allocate buffer of size: 136314880\nNo backtrace \
                    available";
        assert_eq!(lacking(said), Some(136_314_880));
        assert_eq!(lacking("index out of bounds"), None);
    }
}
