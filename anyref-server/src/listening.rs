//! Clients that hear their answers while these are generated.

use std::ops::ControlFlow;

use anyref_core::{Mask, Observer};

use crate::ticket::Ticket;
use crate::work::{Piece, Pieces};

/// Client of one question.
#[derive(Debug)]
pub(crate) struct Listener<'a> {
    ticket: &'a Ticket,
    pieces: Option<&'a Pieces>,
    /// Number of pieces of text that its answer may still have.
    left: Option<usize>,
}

impl<'a> Listener<'a> {
    /// Client that gets pieces of its answer, if it wants any, of which `most` are of text.
    pub(crate) fn new(ticket: &'a Ticket, pieces: Option<&'a Pieces>, most: Option<usize>) -> Self {
        Self {
            ticket,
            pieces,
            left: most,
        }
    }

    fn text(&mut self, text: &str) -> ControlFlow<()> {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(1);
        }
        let pieces = self.pieces.as_ref();
        let heard = pieces.is_none_or(|pieces| pieces.send(Piece::Text(text.to_owned())));
        match self.ticket.is_gone() || !heard || self.left == Some(0) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Clients of the questions of a batch, in their order.
#[derive(Debug)]
pub(crate) struct Listeners<'a>(pub(crate) Vec<Listener<'a>>);

impl Observer for Listeners<'_> {
    fn text(&mut self, question: usize, piece: &str) -> ControlFlow<()> {
        self.0[question].text(piece)
    }

    fn wants_masks(&self, question: usize) -> bool {
        self.0[question].pieces.is_some_and(|pieces| pieces.masks)
    }

    fn mask(&mut self, question: usize, number: usize, mask: &Mask) {
        if let Some(pieces) = self.0[question].pieces {
            // A client that left is noticed at the next text.
            pieces.send(Piece::Mask(number, mask.clone()));
        }
    }
}
