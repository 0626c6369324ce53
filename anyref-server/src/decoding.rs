//! Memory of pictures that are decoded.

use std::sync::Arc;

use anyref_api::{Outcome, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory of decoded pictures that wait, in units of a mebibyte.
const DECODED: u32 = 2048;

/// Memory for pictures between their files and the model.
#[derive(Debug)]
pub(crate) struct Decoding {
    room: Arc<Semaphore>,
}

impl Decoding {
    pub(crate) fn new() -> Self {
        Self {
            room: Arc::new(Semaphore::new(DECODED as usize)),
        }
    }

    /// Memory for pictures of these files, given back when the result is dropped.
    pub(crate) async fn room(&self, pixels: u64) -> Outcome<OwnedSemaphorePermit> {
        // Three bytes a pixel, and as many while a decoder works.
        let mebibytes = ((pixels * 6) >> 20).clamp(1, u64::from(DECODED)) as u32;
        let room = self.room.clone().acquire_many_owned(mebibytes).await;
        room.map_err(|_| Problem::engine_failed())
    }
}
