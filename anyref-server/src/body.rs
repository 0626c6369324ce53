//! Bodies of requests, limited in size and time.

use std::sync::Arc;

use anyref_api::{Outcome, Problem, one_line};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::options::Limits;

/// Unit of the memory that bodies share.
const UNIT: usize = 1 << 10;

/// Memory shared by all bodies.
#[derive(Debug)]
pub(crate) struct Uploads {
    room: Arc<Semaphore>,
}

/// Body with its share of the memory.
#[derive(Debug)]
pub(crate) struct Uploaded {
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Uploads {
    pub(crate) fn new(limits: &Limits) -> Self {
        let room = limits.upload_bytes.max(limits.body_bytes).div_ceil(UNIT);
        Self {
            room: Arc::new(Semaphore::new(room)),
        }
    }

    /// Reads a whole body.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        limits: &Limits,
    ) -> Outcome<Uploaded> {
        let announced = headers.get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let most = limits.body_bytes;
        if announced.is_some_and(|length| length > most) {
            return Err(too_large(most));
        }
        let units = announced.unwrap_or(most).div_ceil(UNIT).max(1) as u32;
        let room = self
            .room
            .clone()
            .try_acquire_many_owned(units)
            .map_err(|_| {
                Problem::later(
                    "uploads_full",
                    "too many uploads at once: try again soon",
                    2,
                )
            })?;
        let collected = timeout(limits.upload, Limited::new(body, most).collect()).await;
        let collected = collected.map_err(|_| {
            let seconds = limits.upload.as_secs();
            let message = format!("the body did not arrive within {seconds} s");
            Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_upload", message)
        })?;
        match collected {
            Ok(collected) => Ok(Uploaded {
                bytes: collected.to_bytes(),
                _room: room,
            }),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large(most)),
            Err(_) => Err(Problem::bad(
                "incomplete",
                "the body ended early: send it again",
            )),
        }
    }
}

fn too_large(most: usize) -> Problem {
    let message = format!(
        "the body is larger than {} MiB: send less, or smaller pictures",
        most >> 20
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
}

/// Parses a JSON body.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Outcome<T> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        let message = "the body has to be JSON, with Content-Type: application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "content_type", message));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Problem::bad(
            "json",
            format!(
                "the JSON is not as described: {}",
                one_line(&error.to_string())
            ),
        )
    })
}
