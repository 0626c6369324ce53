//! A model to serve, before it is loaded.

use std::fmt;
use std::sync::Arc;

use anyref_core::Engine;

/// Function that loads the model, at the start and after a failure.
pub type LoadEngine = dyn Fn() -> anyref_core::Result<Box<dyn Engine>> + Send + Sync;

/// Model for a [`Server`](crate::Server) to serve.
#[derive(Clone)]
pub struct ServedModel {
    /// Name in requests; `None` takes the engine's own name, and is allowed for the first model
    /// alone.
    pub name: Option<String>,
    /// Loads the model: at the start for the first one, else when it is first asked.
    pub load: Arc<LoadEngine>,
    /// Names of the objects that the model knows; empty for a model of open vocabulary.
    pub known: Vec<String>,
}

impl ServedModel {
    /// Model under its engine's own name.
    pub fn new(load: Arc<LoadEngine>) -> Self {
        Self {
            name: None,
            load,
            known: Vec::new(),
        }
    }
}

impl fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedModel")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
