//! Server from start to shutdown.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::access::Rules;
use crate::body::Uploads;
use crate::decoding::Decoding;
use crate::engine_thread;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::models::{Hosted, Models};
use crate::options::ServerOptions;
use crate::queue::{Client, Queue, Status};
use crate::router::router;
use crate::served_model::ServedModel;
use crate::state::State;

/// Model behind a queue, with the state that answers requests.
pub struct Server {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("model", &self.model())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Loads the first model, which answers requests without a name, and starts a thread for each
    /// model to compute on; the others are loaded when they are first asked. Has to be called
    /// within a tokio runtime of several threads.
    ///
    /// # Errors
    /// When the first model does not load, another one has no name, two have the same, or the
    /// system gives no thread.
    pub fn start(models: Vec<ServedModel>, options: ServerOptions) -> Result<Self> {
        let metrics = Arc::new(Metrics::new());
        let mut first = match models.first() {
            Some(model) => Some((model.load)()?),
            None => None,
        };
        let own_name = first.as_ref().map(|engine| engine.info().model.clone());
        let mut hosted = Vec::new();
        for (number, model) in models.iter().enumerate() {
            let name = match number {
                0 => model.name.clone().or_else(|| own_name.clone()),
                _ => model.name.clone(),
            };
            let name = name.ok_or_else(|| Error::Option {
                option: "--model",
                problem: "has no name: give NAME=MODEL".into(),
            })?;
            let queue = Queue::new(options.limits.clone(), metrics.of_model(&name));
            hosted.push(Hosted::new(name, queue, model.known.clone()));
        }
        let served = Models::new(hosted, options.limits.model_bytes)?;
        if let Some(engine) = &first {
            served.default_model().queue.started(engine.info());
        }
        let state = Arc::new(State {
            models: served,
            uploads: Uploads::new(&options.limits),
            decoding: Decoding::new(),
            options,
            metrics,
            started: Instant::now(),
        });
        // Ends the threads of the models before, should the system give no further one.
        let mut server = Self {
            state: state.clone(),
            threads: Vec::new(),
        };
        for (number, model) in models.into_iter().enumerate() {
            let (state, engine, runtime) = (state.clone(), first.take(), Handle::current());
            let work = move || {
                let hosted = &state.models.all()[number];
                engine_thread::run(hosted, &state.models, engine, &*model.load, &runtime);
            };
            let thread = Builder::new().name("model".into()).spawn(work)?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Name of the model that requests without a name are for.
    pub fn model(&self) -> &str {
        &self.state.models.default_model().name
    }

    /// Answers requests until `ended` is ready, then finishes running ones, within
    /// [`Limits::shutdown`](crate::Limits::shutdown).
    ///
    /// # Errors
    /// When listening on the address is not allowed, see [`ServerOptions::check`].
    pub async fn serve(self, listener: TcpListener, ended: impl Future<Output = ()>) -> Result<()> {
        let address = listener.local_addr()?;
        self.state.options.check(address)?;
        let rules = Arc::new(Rules::new(&self.state.options.access, address.ip()));
        let router = router(self.state.clone(), rules);
        let limits = &self.state.options.limits;
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(limits.connections));
        let mut ended = std::pin::pin!(ended);
        loop {
            let room = connections.clone().acquire_owned();
            let accepted = async { (room.await, listener.accept().await) };
            let (room, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut ended => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly too many open files, which ends as connections close.
                    log::warn!("a connection was not accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = connection(stream, peer, router.clone(), limits.upload);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // Clients that disconnect are no fault of the server.
                let _ = connection.await;
                drop(room);
            });
        }
        drop(listener);
        tokio::select! {
            () = graceful.shutdown() => {}
            () = tokio::time::sleep(limits.shutdown) => {
                log::warn!("some requests were not answered before the end");
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    /// Lets the models' threads end, which compute what they began.
    fn drop(&mut self) {
        for model in self.state.models.all() {
            model.queue.set_status(Status::Closing);
        }
        for thread in self.threads.drain(..) {
            // Its faults were told already.
            let _ = thread.join();
        }
    }
}

/// Client of a connection. Connections from other machines are grouped by address; local ones,
/// which share an address, count separately.
fn client(peer: SocketAddr) -> Client {
    match peer.ip().is_loopback() {
        true => Client(peer.to_string()),
        false => Client(peer.ip().to_string()),
    }
}

/// Serves a connection; requests must begin within `patience`.
fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: axum::Router,
    patience: Duration,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    // Events of a stream are small.
    let _ = stream.set_nodelay(true);
    let client = client(peer);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(client.clone());
        let router = router.clone();
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
}
