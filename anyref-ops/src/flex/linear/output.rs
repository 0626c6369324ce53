//! Output matrix of a product, written by several threads at once.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Matrix with rows of `width` values, of which each task writes its own rectangle.
pub(crate) struct Output<'a> {
    values: *mut f32,
    rows: usize,
    width: usize,
    memory: PhantomData<&'a mut [f32]>,
}

// SAFETY: `store` asks for rectangles that do not overlap.
unsafe impl Sync for Output<'_> {}
// SAFETY: as above.
unsafe impl Send for Output<'_> {}

impl<'a> Output<'a> {
    pub(crate) fn new(values: &'a mut [f32], width: usize) -> Self {
        Self {
            rows: values.len() / width,
            values: values.as_mut_ptr(),
            width,
            memory: PhantomData,
        }
    }

    /// Matrix without values yet.
    pub(crate) fn unwritten(values: &'a mut [MaybeUninit<f32>], width: usize) -> Self {
        Self {
            rows: values.len() / width,
            values: values.as_mut_ptr().cast(),
            width,
            memory: PhantomData,
        }
    }

    /// Returns whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Values of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Another handle to the memory, for another task.
    pub(crate) fn shared(&self) -> Self {
        Self { ..*self }
    }

    /// Pointer to the first of some values, for a task that owns them; rows are as far apart as the
    /// matrix is wide.
    #[inline(always)]
    pub(crate) fn part(&self, rows: Range<usize>, columns: Range<usize>) -> *mut f32 {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.width);
        let first = rows.start * self.width + columns.start;
        // Wraps for an empty part, which may begin after the end.
        self.values.wrapping_add(first)
    }

    /// Writes part of a row.
    ///
    /// # Safety
    /// No other thread may write or read these values.
    #[inline(always)]
    pub(crate) unsafe fn store(
        &self,
        row: usize,
        columns: Range<usize>,
        values: &[f32],
        bias: Option<&[f32]>,
    ) {
        assert!(row < self.rows && columns.start <= columns.end && columns.end <= self.width);
        let values = &values[..columns.len()];
        // SAFETY: in bounds, and exclusive by the caller's guarantee.
        let out = unsafe {
            let first = self.values.add(row * self.width + columns.start);
            core::slice::from_raw_parts_mut(first.cast::<MaybeUninit<f32>>(), columns.len())
        };
        match bias {
            None => {
                for (out, &value) in out.iter_mut().zip(values) {
                    out.write(value);
                }
            }
            Some(bias) => {
                let sums = values.iter().zip(&bias[columns]);
                for (out, (&value, &bias)) in out.iter_mut().zip(sums) {
                    out.write(value + bias);
                }
            }
        }
    }
}
