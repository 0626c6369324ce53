//! Answers as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use anyref_api::{EarlyMaskOutput, MaskFormat, words_of_piece};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::Instrument;
use tracing::instrument::Instrumented;

use crate::state::blocking;
use crate::work::{Piece, Pieces};

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

/// Part of an answer, for a client that hears it while it is generated.
#[derive(Debug)]
pub(crate) enum Part {
    /// Words of the sentence.
    Words(String),
    /// Mask that the complete answer has too.
    Mask(EarlyMaskOutput),
}

#[derive(Serialize)]
struct Words<'a> {
    text: &'a str,
}

/// Streams the text of an answer and its masks as they are generated, then its final events. The
/// work is dropped with the response.
pub(crate) fn stream<F>(format: MaskFormat, answer: impl FnOnce(Pieces) -> F) -> Response
where
    F: Future<Output = Vec<Event>> + Send + 'static,
{
    stream_with(format, answer, |part| match part {
        Part::Words(text) => Event::named("text", &Words { text: &text }),
        Part::Mask(mask) => Event::named("mask", &mask),
    })
}

/// Like [`stream`], with events of another form for the parts.
pub(crate) fn stream_with<F>(
    format: MaskFormat,
    answer: impl FnOnce(Pieces) -> F,
    event: impl Fn(Part) -> Event + Send + 'static,
) -> Response
where
    F: Future<Output = Vec<Event>> + Send + 'static,
{
    let (sender, pieces) = mpsc::unbounded_channel();
    let masks = format != MaskFormat::None;
    let writing: Writing<Instrumented<F>, _> = Writing {
        // Polled after the request's own span has ended.
        answer: Some(Box::pin(answer(Pieces { sender, masks }).in_current_span())),
        pieces,
        format,
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
    pieces: mpsc::UnboundedReceiver<Piece>,
    format: MaskFormat,
    end: VecDeque<Event>,
    event: E,
}

impl<F, E> Writing<F, E>
where
    F: Future<Output = Vec<Event>>,
    E: Fn(Part) -> Event,
{
    /// Next event: all text and early masks come before the final events.
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
            if let Some(part) = part(piece, self.format).await {
                return Some((self.event)(part));
            }
        }
    }
}

/// Part that a piece is for clients; `None` of a token without words.
async fn part(piece: Piece, format: MaskFormat) -> Option<Part> {
    match piece {
        Piece::Text(text) => words_of_piece(&text).map(Part::Words),
        Piece::Mask(number, mask) => {
            let written = blocking(move || Ok(EarlyMaskOutput::new(number, &mask, format)));
            written.await.ok().flatten().map(Part::Mask)
        }
    }
}
