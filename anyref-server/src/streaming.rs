//! Answers as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use anyref_api::words_of_piece;
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::work::Pieces;

/// Server-sent event.
#[derive(Debug)]
pub(crate) struct Event(SseEvent);

impl Event {
    /// Event with a name.
    pub(crate) fn named(name: &str, value: &impl Serialize) -> Self {
        Self(SseEvent::default().event(name).data(text(value)))
    }

    /// Event without a name, for OpenAI's clients.
    pub(crate) fn bare(value: &impl Serialize) -> Self {
        Self(SseEvent::default().data(text(value)))
    }

    /// Last event for OpenAI's clients.
    pub(crate) fn done() -> Self {
        Self(SseEvent::default().data("[DONE]"))
    }
}

fn text(value: &impl Serialize) -> String {
    // Every answer can be serialised.
    serde_json::to_string(value).unwrap_or_default()
}

#[derive(Serialize)]
struct Piece<'a> {
    text: &'a str,
}

/// Streams the text of an answer as it is generated, then its final events. The work is dropped
/// with the response.
pub(crate) fn stream<F>(answer: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = Vec<Event>> + Send + 'static,
{
    stream_with(answer, |piece| Event::named("text", &Piece { text: piece }))
}

/// Like [`stream`], with events of another form for the text.
pub(crate) fn stream_with<F>(
    answer: impl FnOnce(Pieces) -> F,
    event: impl Fn(&str) -> Event + Send + 'static,
) -> Response
where
    F: Future<Output = Vec<Event>> + Send + 'static,
{
    let (sender, pieces) = mpsc::unbounded_channel();
    let writing = Writing {
        answer: Some(Box::pin(answer(sender))),
        pieces,
        end: VecDeque::new(),
        event,
    };
    let events = stream::unfold(writing, |mut writing| async {
        let event = writing.next().await?;
        Some((Ok::<_, Infallible>(event.0), writing))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// Answer that is being generated.
struct Writing<F, E> {
    /// Pending answer; `None` once it is complete.
    answer: Option<Pin<Box<F>>>,
    pieces: mpsc::UnboundedReceiver<String>,
    end: VecDeque<Event>,
    event: E,
}

impl<F, E> Writing<F, E>
where
    F: Future<Output = Vec<Event>>,
    E: Fn(&str) -> Event,
{
    /// Next event: all text comes before the final events.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let piece = match &mut self.answer {
                Some(answer) => tokio::select! {
                    biased;
                    Some(piece) = self.pieces.recv() => piece,
                    end = answer => {
                        self.end = end.into();
                        self.answer = None;
                        continue;
                    }
                },
                None => match self.pieces.try_recv() {
                    Ok(piece) => piece,
                    Err(_) => return self.end.pop_front(),
                },
            };
            if let Some(words) = words_of_piece(&piece) {
                return Some((self.event)(&words));
            }
        }
    }
}
