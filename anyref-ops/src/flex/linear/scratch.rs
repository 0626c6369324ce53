//! Memory that a thread keeps from one product to the next: fresh pages would have to be cleared
//! first.

use core::cell::RefCell;
use core::marker::PhantomData;

/// Words of a cache line.
const LINE: usize = 16;
/// Lines of the largest buffer that is kept: 16 MB.
const KEPT: usize = 256 * 1024;
/// Buffers that a thread keeps: packed rows, packed weights and sums.
const BUFFERS: usize = 3;

/// Cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "read as words")] [u32; LINE]);

std::thread_local! {
    /// Unused buffers of a thread, the one that was given back last at the end.
    static UNUSED: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Packed operand of a product, or a sum.
///
/// # Safety
/// The type has 32 bits, all patterns of which are values.
pub(crate) unsafe trait Word: Copy + Send + Sync {}

// SAFETY: it is so.
unsafe impl Word for f32 {}
// SAFETY: it is so.
unsafe impl Word for u32 {}

/// Buffer of words, whose first contents are arbitrary.
pub(crate) struct Scratch<W> {
    lines: Vec<Line>,
    length: usize,
    words: PhantomData<W>,
}

impl<W: Word> Scratch<W> {
    /// Buffer of `length` words, of those that the thread keeps if there is one.
    pub(crate) fn new(length: usize) -> Self {
        let mut lines = UNUSED.with_borrow_mut(Vec::pop).unwrap_or_default();
        let count = length.div_ceil(LINE);
        if lines.len() < count {
            // What it held is not worth a copy.
            lines.clear();
            lines.resize(count, Line([0; LINE]));
        }
        Self {
            lines,
            length,
            words: PhantomData,
        }
    }
}

impl<W> Drop for Scratch<W> {
    fn drop(&mut self) {
        let lines = core::mem::take(&mut self.lines);
        if lines.len() <= KEPT {
            // A thread that ends has nothing to keep it in.
            let _ = UNUSED.try_with(|unused| {
                let mut unused = unused.borrow_mut();
                if unused.len() < BUFFERS {
                    unused.push(lines);
                }
            });
        }
    }
}

impl<W: Word> core::ops::Deref for Scratch<W> {
    type Target = [W];

    fn deref(&self) -> &[W] {
        // SAFETY: the lines are initialised, and words have no invalid bit patterns.
        unsafe { core::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl<W: Word> core::ops::DerefMut for Scratch<W> {
    fn deref_mut(&mut self) -> &mut [W] {
        // SAFETY: as above.
        unsafe { core::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_kept_and_taken_again() {
        let mut first = Scratch::<f32>::new(100);
        first.fill(1.0);
        let at = first.as_ptr();
        let second = Scratch::<u32>::new(7);
        assert!(at.starts_line() && second.as_ptr().starts_line());
        drop(second);
        drop(first);
        let again = Scratch::<u32>::new(50);
        assert_eq!((again.as_ptr().cast(), again.len()), (at, 50));
        let larger = Scratch::<f32>::new(1000);
        assert_eq!(larger.len(), 1000);
    }

    trait Aligned {
        fn starts_line(self) -> bool;
    }

    impl<W> Aligned for *const W {
        fn starts_line(self) -> bool {
            self.addr().is_multiple_of(64)
        }
    }
}
