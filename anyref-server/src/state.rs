//! State shared by all requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyref_api::{Outcome, PictureInput, Problem, media};
use anyref_core::EncodedPicture;
use tokio::task::spawn_blocking;

use crate::body::Uploads;
use crate::decoding::Decoding;
use crate::metrics::Metrics;
use crate::models::{Hosted, Models};
use crate::options::ServerOptions;
use crate::pictures::PictureId;
use crate::queue::Client;
use crate::work::Work;

/// State shared by all requests.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) models: Models,
    pub(crate) options: ServerOptions,
    pub(crate) uploads: Uploads,
    pub(crate) decoding: Decoding,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) started: Instant,
}

/// Picture that a request is about.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: PictureId,
    pub(crate) picture: EncodedPicture,
    /// Time of its encoding, if this request caused it.
    pub(crate) encoding: Duration,
}

impl State {
    /// Encoded picture of a file, from the cache or encoded now.
    pub(crate) async fn encoded(
        &self,
        model: &Hosted,
        client: &Client,
        file: Vec<u8>,
        name: &str,
        field: &'static str,
    ) -> Outcome<Found> {
        let limits = &self.options.limits;
        let id = PictureId::of(&file);
        let name = name.to_owned();
        let encode = || async move {
            let pixels = media::check_pixels(&file, &limits.question, field)?;
            let room = self.decoding.room(pixels).await?;
            let coming = model.queue.coming();
            let image = blocking(move || media::picture(&file, &name, field)).await?;
            drop(coming);
            let encoded = model
                .queue
                .ask(client, |reply| Work::Encode(image, reply))
                .await;
            drop(room);
            encoded
        };
        let (picture, fresh, gone) = model.queue.pictures.get_or_encode(&id, encode).await?;
        model.queue.conversations.forget(&gone);
        let encoding = match fresh {
            true => picture.encoding_time(),
            false => Duration::ZERO,
        };
        Ok(Found {
            id,
            picture,
            encoding,
        })
    }

    /// Picture of a question to a model.
    pub(crate) async fn picture(
        &self,
        model: &Hosted,
        client: &Client,
        input: &PictureInput,
    ) -> Outcome<Found> {
        match input {
            PictureInput::Id(id) => {
                let id = PictureId::given(id);
                let picture = model.queue.pictures.get(&id)?;
                Ok(Found {
                    id,
                    picture,
                    encoding: Duration::ZERO,
                })
            }
            PictureInput::File(file) => {
                let name = media::shown_name(file.name.as_deref(), "asked about");
                let bytes = media::bytes(&file.data, "picture")?;
                self.encoded(model, client, bytes, &name, "picture").await
            }
        }
    }
}

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        log::error!("a fault while a request was read: {error}");
        let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
        Err(Problem::new(
            status,
            "fault",
            "a fault in the server: see its log",
        ))
    })
}
