//! AnyRef over HTTP: a page to point with the mouse, a native API, and one for OpenAI's clients.
//!
//! [`Server`] owns one model or several, each behind a queue of its own. Waiting questions are
//! answered in batches, pictures are encoded once for all, and a client that leaves is dropped from
//! the queue.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use anyref_core::{EngineOptions, ModelSource, load_engine};
//! use anyref_server::{ServedModel, Server, ServerOptions};
//!
//! # async fn run() -> anyref_server::Result<()> {
//! let options = EngineOptions::new(ModelSource::Path("assets/nano".into()));
//! let model = ServedModel::new(Arc::new(move || load_engine(&options)));
//! let server = Server::start(vec![model], ServerOptions::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8787").await?;
//! server.serve(listener, std::future::pending()).await
//! # }
//! ```

#![recursion_limit = "256"]

mod access;
mod address;
mod body;
mod conversations;
mod decoding;
mod engine_thread;
mod error;
mod fair_queue;
mod listening;
mod masks;
mod metrics;
mod models;
mod native;
mod openai;
mod openapi;
mod options;
mod page;
mod pictures;
mod queue;
mod request_log;
mod router;
mod served_model;
mod server;
mod state;
mod streaming;
mod ticket;
mod work;

pub use error::{Error, Result};
pub use openapi::openapi;
pub use options::{Access, Limits, ServerOptions};
pub use served_model::{LoadEngine, ServedModel};
pub use server::Server;

/// Code of the README, compiled and run with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
