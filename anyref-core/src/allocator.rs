//! Allocator of programs that run models: tensors are allocated and freed by the megabyte, at the
//! cost of page faults each time with the system's allocator.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: anyref_core::allocator::MiMalloc = anyref_core::allocator::MiMalloc;
//!
//! fn main() {
//!     anyref_core::allocator::keep_freed_memory();
//! }
//! ```

use libmimalloc_sys::{mi_option_set_default, mi_option_t};
pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2 and 3, for which the binding has no name.
const PURGE_DELAY: mi_option_t = 15;
/// Milliseconds until freed memory goes back to the system: longer than a person takes to point at
/// the next object of a picture, and short beside the pauses of a server.
const DELAY: i64 = 10_000;

/// Keeps freed memory for ten seconds, for the next layer or question to use, unless the variable
/// `MIMALLOC_PURGE_DELAY` says otherwise. Without this call mimalloc returns it to the system after
/// 10 ms, and the system fills it with zeros before giving it out again, which takes a tenth of the
/// time of an encoder.
pub fn keep_freed_memory() {
    // SAFETY: sets a number, at the place of an option that exists.
    unsafe { mi_option_set_default(PURGE_DELAY, DELAY as _) }
}
