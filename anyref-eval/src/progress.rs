//! Progress of an evaluation, reported to the program that runs it.

use std::cell::{Cell, RefCell};

/// Progress of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Name of the data set, or of the kind of questions.
    pub name: &'a str,
    /// Questions answered so far, earlier runs included.
    pub done: usize,
    /// Total number of questions.
    pub total: usize,
}

/// Counter of answered questions that reports each step.
pub(super) struct Counter<'a> {
    tell: RefCell<&'a mut dyn FnMut(Progress<'_>)>,
    done: Cell<usize>,
    total: usize,
}

impl<'a> Counter<'a> {
    /// Counts from 0 to `total`.
    pub(super) fn new(total: usize, tell: &'a mut dyn FnMut(Progress<'_>)) -> Self {
        Self {
            tell: RefCell::new(tell),
            done: Cell::new(0),
            total,
        }
    }

    /// Counts answered questions and reports the progress.
    pub(super) fn advance(&self, name: &str, questions: usize) {
        self.done.set(self.done.get() + questions);
        let (done, total) = (self.done.get(), self.total);
        (self.tell.borrow_mut())(Progress { name, done, total });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_told() {
        let mut told = Vec::new();
        let mut tell = |progress: Progress<'_>| {
            told.push((progress.name.to_owned(), progress.done, progress.total));
        };
        let counter = Counter::new(5, &mut tell);
        counter.advance("text", 2);
        counter.advance("box", 1);
        assert_eq!(told, [("text".to_owned(), 2, 5), ("box".to_owned(), 3, 5)]);
    }
}
