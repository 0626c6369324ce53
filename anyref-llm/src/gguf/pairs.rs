//! Row order of queries and keys in LLaMA files.

/// Order in which rows of queries or keys are read from a file.
#[derive(Clone, Copy)]
pub(super) struct Pairs {
    /// Width of a head.
    pub(super) head: usize,
}

impl Pairs {
    /// Row of the file for row `row` of a model that rotates components `i` and `i + head / 2`
    /// together; in the file they are adjacent.
    pub(super) fn row(self, row: usize) -> usize {
        let (first, row) = (row - row % self.head, row % self.head);
        let half = self.head / 2;
        first + 2 * (row % half) + row / half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_taken_apart() {
        let order = Pairs { head: 6 };
        let rows: Vec<_> = (0..12).map(|row| order.row(row)).collect();
        assert_eq!(rows, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
    }
}
