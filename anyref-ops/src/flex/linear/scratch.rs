//! Memory that a thread keeps from one product to the next: fresh pages would have to be cleared
//! first.

use core::cell::RefCell;
use core::marker::PhantomData;

/// Words of a cache line.
const LINE: usize = 16;
/// Lines of the largest buffer that is kept: 16 MB.
const KEPT: usize = 256 * 1024;
/// Lines of all buffers that a thread keeps: 48 MB.
const ALL: usize = 3 * KEPT;
/// Buffers that a thread keeps: packed rows and weights, and what a product of some rows at a time
/// needs beside them.
const BUFFERS: usize = 8;

/// Cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "read as words")] [u32; LINE]);

std::thread_local! {
    /// Unused buffers of a thread.
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
        let count = length.div_ceil(LINE);
        let mut lines = UNUSED.with_borrow_mut(|unused| take(unused, count));
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

/// Takes the smallest buffer of enough lines, or the largest of all.
fn take(unused: &mut Vec<Vec<Line>>, count: usize) -> Vec<Line> {
    if count == 0 {
        return Vec::new();
    }
    let best = (0..unused.len()).min_by_key(|&index| match unused[index].len() {
        length if length < count => (true, usize::MAX - length),
        length => (false, length),
    });
    best.map(|index| unused.swap_remove(index))
        .unwrap_or_default()
}

impl<W> Drop for Scratch<W> {
    fn drop(&mut self) {
        let lines = core::mem::take(&mut self.lines);
        if !lines.is_empty() && lines.len() <= KEPT {
            // A thread that ends has nothing to keep it in.
            let _ = UNUSED.try_with(|unused| {
                let mut unused = unused.borrow_mut();
                let kept: usize = unused.iter().map(Vec::len).sum();
                if unused.len() < BUFFERS && kept + lines.len() <= ALL {
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
