//! Native part of the Python package `anyref`: engines, pictures, references, answers and metrics,
//! wrapped by the package's Python files.
//!
//! Every computation runs without Python's lock. Errors are `AnyRefError` with one line.

#![recursion_limit = "256"]

mod answer;
mod chat;
mod error;
mod image;
mod load;
mod mask;
mod metrics;
mod model;
mod parts;
mod reference;
mod running;

use anyref_core::allocator::{MiMalloc, keep_freed_memory};
use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Native part of the package `anyref`.
#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::answer::Answer;
    #[pymodule_export]
    use super::chat::{Chat, Stream};
    #[pymodule_export]
    use super::error::AnyRefError;
    #[pymodule_export]
    use super::image::Image;
    #[pymodule_export]
    use super::load::load;
    #[pymodule_export]
    use super::mask::Mask;
    #[pymodule_export]
    use super::metrics::{audio_visual, generalized, iou, reasoning, referring};
    #[pymodule_export]
    use super::model::{Model, Picture};
    #[pymodule_export]
    use super::parts::{Encoders, refocus_arrays};
    #[pymodule_export]
    use super::reference::Reference;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        keep_freed_memory();
        error::record_panics();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
