//! Identifier of each request, its span, and a line in the log once its response has been sent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use anyref_api::milliseconds;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tracing::{Instrument, Span};

/// Header with the identifier of a request.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives a request its identifier, the client's own if it sent one, and runs it in its span.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let start = Instant::now();
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok());
    let plain = |id: &&str| {
        let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !id.is_empty() && id.len() <= 64 && id.bytes().all(sign)
    };
    let id = match given.filter(plain) {
        Some(id) => id.to_owned(),
        None => format!("{:016x}", rand::random::<u64>()),
    };
    let span =
        tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Ok(id) = id.parse() {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status().as_u16();
    response.map(|body| {
        Body::new(LoggedBody {
            body,
            status,
            span,
            start,
        })
    })
}

/// Body of a response, whose end is the end of the request.
#[derive(Debug)]
struct LoggedBody {
    body: Body,
    status: u16,
    span: Span,
    start: Instant,
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        let (status, ms) = (self.status, milliseconds(self.start.elapsed()));
        self.span.in_scope(|| match status {
            500.. => tracing::warn!(status, ms, "answered"),
            _ => tracing::info!(status, ms, "answered"),
        });
    }
}
