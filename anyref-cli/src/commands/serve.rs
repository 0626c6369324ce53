//! `anyref serve`: the page and the API.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use anyref_server::{Access, Limits, Server, ServerOptions};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::demo;
use crate::args::{Common, ServeArguments};
use crate::{model, nano, output};

/// Names of the things that a folder's model learned, one a line.
const NOUNS_FILE: &str = "nouns.txt";

/// Runs the command.
pub fn run(common: &Common, arguments: &ServeArguments) -> Result<()> {
    let options = ServerOptions {
        limits: limits(arguments),
        access: Access {
            token: token(arguments)?,
            open: arguments.no_auth,
            origins: arguments.origins.clone(),
        },
        known: known(common),
        scenes: demo::FILES,
    };
    // Before the model is loaded for nothing.
    options.check(arguments.listen)?;
    let load = model::options(common)?;
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    runtime.block_on(async {
        let address = arguments.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener
            .with_context(|| format!("cannot listen on {address}: choose another with --listen"))?;
        let address = listener.local_addr()?;
        let token = options.access.token.clone();
        // Once as every command, for its messages.
        let first = std::sync::Mutex::new(Some(model::engine(common)?));
        let load = move || match first.lock().ok().and_then(|mut first| first.take()) {
            Some(engine) => Ok(engine),
            None => anyref_core::load_engine(&load),
        };
        let server = Server::start(Arc::new(load), options)?;
        let name = server.info().model.clone();
        let secret = token.map_or(String::new(), |token| format!("#token={token}"));
        output::say(&format!("{name} answers on http://{address}/{secret}"))?;
        output::say(&format!("API: http://{address}/docs, stop with Ctrl+C"))?;
        Ok(server.serve(listener, ended()).await?)
    })
}

fn limits(arguments: &ServeArguments) -> Limits {
    let usual = Limits::default();
    let body_bytes = usize::from(arguments.max_body) << 20;
    Limits {
        body_bytes,
        upload_bytes: usual.upload_bytes.max(4 * body_bytes),
        cache_bytes: u64::from(arguments.cache) << 20,
        queue: arguments.queue.into(),
        batch: arguments.batch.into(),
        answer: Duration::from_secs(arguments.timeout.into()),
        ..usual
    }
}

/// The secret that requests have to bear.
fn token(arguments: &ServeArguments) -> Result<Option<String>> {
    let Some(file) = &arguments.token_file else {
        return Ok(arguments.token.clone());
    };
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read the token of {}", file.display()))?;
    match text.trim() {
        "" => bail!("{} is empty: write a token into it", file.display()),
        token => Ok(Some(token.to_owned())),
    }
}

/// Names of the things that the model learned, as far as there is a list.
fn known(common: &Common) -> Vec<String> {
    let list = match &common.model {
        None => nano::NOUNS.to_owned(),
        Some(folder) => fs::read_to_string(Path::new(folder).join(NOUNS_FILE)).unwrap_or_default(),
    };
    list.lines()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Waits for Ctrl+C, or for the system to ask for the end.
async fn ended() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminated = async {
            match signal(SignalKind::terminate()) {
                Ok(mut signal) => signal.recv().await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = interrupted => {}
            _ = terminated => {}
        }
    }
    #[cfg(not(unix))]
    interrupted.await;
    log::info!("the server ends; what runs is finished");
}
