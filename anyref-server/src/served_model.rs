//! A model to serve, before it is loaded.

use std::fmt;
use std::sync::Arc;

use anyref_core::Engine;

/// Function that loads the model, at the start and after a failure.
pub type LoadEngine = dyn Fn() -> anyref_core::Result<Box<dyn Engine>> + Send + Sync;

/// Model for a [`Server`](crate::Server) to serve.
#[derive(Clone)]
pub struct ServedModel {
    /// Name in requests; the engine's own name where there is none, which the first model alone
    /// may leave out.
    pub name: Option<String>,
    /// Loads the model: at the start for the first one, else when it is first asked.
    pub load: Arc<LoadEngine>,
    /// Names of the things that the model learned; none where it is open to all.
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
