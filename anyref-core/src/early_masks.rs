//! Masks of answers that are still being generated, for observers that want them as words come.

use crate::Mask;
use crate::observer::Observer;

/// Masks that were decoded before their answers ended.
#[derive(Debug)]
pub(crate) struct EarlyMasks {
    pub(crate) rows: Vec<EarlyRow>,
}

/// Masks of one answer.
#[derive(Debug)]
pub(crate) struct EarlyRow {
    pub(crate) wanted: bool,
    pub(crate) masks: Vec<Mask>,
    /// Number of masks of sufficient score, which the observer has received.
    pub(crate) shown: usize,
}

impl EarlyMasks {
    /// Creates a place for each of `rows` answers to questions of an observer.
    pub(crate) fn new(rows: usize, observer: &dyn Observer) -> Self {
        let row = |row| EarlyRow {
            wanted: observer.wants_masks(row),
            masks: Vec::new(),
            shown: 0,
        };
        Self {
            rows: (0..rows).map(row).collect(),
        }
    }

    /// Returns whether masks of any row are still wanted.
    pub(crate) fn any_wanted(&self) -> bool {
        self.rows.iter().any(|row| row.wanted)
    }

    /// Leaves further masks of a row to the end of its answer.
    pub(crate) fn end(&mut self, row: usize) {
        self.rows[row].wanted = false;
    }

    /// Masks of each row, those of its first `<obj>`.
    pub(crate) fn into_masks(self) -> impl Iterator<Item = Vec<Mask>> {
        self.rows.into_iter().map(|row| row.masks)
    }
}
