//! AnyRef in the browser alone. [`Session`] is a model that answers the API's JSON, on any machine;
//! [`WebSession`] wraps it for JavaScript, created in a worker by the page of `anyref-server`.

mod bindings;
mod device_errors;
mod kept;
mod session;

pub use bindings::{WebSession, start};
pub use session::{PictureOutput, Session};

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
