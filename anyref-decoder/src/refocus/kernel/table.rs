//! Objects as a table for the kernels.

use cubecl::prelude::*;

use crate::refocus::Objects;

/// Numbers of an object.
const FIELDS: usize = 6;

/// Encodes the objects in rows of [`FIELDS`].
pub(super) fn objects(objects: &Objects) -> Vec<u32> {
    let rows = objects.tokens().iter().flat_map(|object| {
        let (context, span) = (object.context(), object.span());
        [
            object.row,
            object.position,
            context.start,
            context.end,
            span.start,
            span.end,
        ]
        .map(|number| number as u32)
    });
    rows.collect()
}

/// Start of each batch row's objects, `batch + 1` indices, followed by the objects in the order of
/// rows.
pub(super) fn rows(objects: &Objects, batch: usize) -> Vec<u32> {
    let mut starts = vec![batch as u32 + 1];
    let mut order = Vec::with_capacity(objects.tokens().len());
    for row in 0..batch {
        order.extend(objects.in_row(row).map(|(index, _)| index as u32));
        starts.push((batch + 1 + order.len()) as u32);
    }
    starts.extend(order);
    starts
}

/// Object within the kernel.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Entry {
    pub(super) row: usize,
    pub(super) position: usize,
    pub(super) context_start: usize,
    pub(super) context_end: usize,
    pub(super) span_start: usize,
    pub(super) span_end: usize,
}

/// Reads an object.
#[cube]
pub(super) fn entry(objects: &Array<u32>, index: usize) -> Entry {
    let place = index * comptime!(FIELDS);
    Entry {
        row: objects[place] as usize,
        position: objects[place + 1] as usize,
        context_start: objects[place + 2] as usize,
        context_end: objects[place + 3] as usize,
        span_start: objects[place + 4] as usize,
        span_end: objects[place + 5] as usize,
    }
}
