//! Register blocks of rows against the panels of a tile.

/// Rows of a register block on the widest instruction set; narrower ones use a divisor of it.
pub(crate) const BLOCK: usize = 12;

/// Operands of a register block: its rows, a tile's panels and the output.
pub(crate) struct Blocks<'a, W> {
    /// Words of all rows, interleaved: one word of each, [`BLOCK`] apart.
    pub(crate) a: &'a [W],
    /// `[depth, width]`, packed in panels.
    pub(crate) panels: &'a [W],
    /// `[rows, width]` with rows `stride` apart; at most [`BLOCK`] rows.
    pub(crate) c: &'a mut [f32],
    /// Distance of the rows of `c`.
    pub(crate) stride: usize,
    /// Outputs.
    pub(crate) width: usize,
    /// Adds to `c` instead of overwriting it.
    pub(crate) accumulate: bool,
}

impl<W> Blocks<'_, W> {
    /// Rows of `c`.
    pub(crate) fn rows(&self) -> usize {
        self.c.len() / self.stride
    }

    /// Words of a row of `a`.
    pub(crate) fn depth(&self) -> usize {
        self.a.len() / BLOCK
    }
}
