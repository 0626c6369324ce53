//! Queue of waiting work, served round-robin between clients.

use std::collections::VecDeque;

/// Queue that serves clients in turns, whatever number of jobs each has waiting. Work of one client
/// keeps its order.
#[derive(Debug)]
pub(crate) struct FairQueue<C, W> {
    clients: VecDeque<(C, VecDeque<W>)>,
    length: usize,
}

impl<C, W> Default for FairQueue<C, W> {
    fn default() -> Self {
        Self {
            clients: VecDeque::new(),
            length: 0,
        }
    }
}

impl<C: PartialEq, W> FairQueue<C, W> {
    /// Number of waiting jobs.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Adds work of a client.
    pub(crate) fn push(&mut self, client: C, work: W) {
        self.length += 1;
        match self.clients.iter_mut().find(|(other, _)| *other == client) {
            Some((_, waiting)) => waiting.push_back(work),
            None => self.clients.push_back((client, VecDeque::from([work]))),
        }
    }

    /// Removes the next job; its client goes to the end of the line.
    pub(crate) fn pop(&mut self) -> Option<W> {
        let (client, mut waiting) = self.clients.pop_front()?;
        let work = waiting.pop_front();
        if !waiting.is_empty() {
            self.clients.push_back((client, waiting));
        }
        self.length -= usize::from(work.is_some());
        work
    }

    /// Drops jobs for which `keep` is false.
    pub(crate) fn retain(&mut self, keep: impl Fn(&W) -> bool) {
        for (_, waiting) in &mut self.clients {
            waiting.retain(&keep);
        }
        self.clients.retain(|(_, waiting)| !waiting.is_empty());
        self.length = self.clients.iter().map(|(_, waiting)| waiting.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_with_much_to_ask_does_not_keep_others_waiting() {
        let mut queue = FairQueue::default();
        for work in 0..5 {
            queue.push("busy", work);
        }
        queue.push("calm", 10);
        queue.push("other", 20);
        queue.retain(|work| *work != 3);
        assert_eq!(queue.len(), 6);
        let served: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(served, [0, 10, 20, 1, 2, 4]);
        assert_eq!(queue.len(), 0);
    }
}
