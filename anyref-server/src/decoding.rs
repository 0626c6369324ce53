//! Memory budget for decoding pictures.

use std::sync::Arc;

use anyref_api::{Outcome, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Budget in mebibytes.
const DECODED: u32 = 2048;

/// Memory for pictures between file and model.
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

    /// Reserves memory for pictures with `pixels` in all; released when the result is dropped.
    pub(crate) async fn room(&self, pixels: u64) -> Outcome<OwnedSemaphorePermit> {
        // Three bytes a pixel, and as many again during decoding.
        let mebibytes = ((pixels * 6) >> 20).clamp(1, u64::from(DECODED)) as u32;
        let room = self.room.clone().acquire_many_owned(mebibytes).await;
        room.map_err(|_| Problem::engine_failed())
    }
}
