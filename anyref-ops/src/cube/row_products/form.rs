//! Forms of products of rows.

/// Most products of a launch.
pub(crate) const PARTS: usize = 8;

/// Product of one weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Part {
    /// Number of outputs.
    pub(crate) outputs: usize,
    /// Column of the weight that is the first output.
    pub(crate) first: usize,
    /// Row of each group that is multiplied.
    pub(crate) row: usize,
    /// Multiplies the rows with their positions instead of the rows alone.
    pub(crate) placed: bool,
    /// Place in joined outputs.
    pub(crate) slot: usize,
}

/// Function of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Activation {
    #[default]
    Identity,
    Relu,
    /// Exact GELU.
    Gelu,
}

/// Products and what precedes and follows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Form {
    /// Parts, of which the first `count` are meant.
    pub(crate) parts: [Part; PARTS],
    /// Number of parts.
    pub(crate) count: usize,
    /// Rows of a group, one of which each product takes; 1 if all rows are multiplied.
    pub(crate) group: usize,
    /// Normalises rows first.
    pub(crate) normed: bool,
    /// Writes the normalised rows.
    pub(crate) kept: bool,
    /// Applies GELU to normalised rows.
    pub(crate) activated: bool,
    /// Whether rows have positions, added after the norm.
    pub(crate) placed: bool,
    /// Whether the weights have biases.
    pub(crate) biased: bool,
    /// Adds a tensor to the outputs of one product.
    pub(crate) added: bool,
    /// Function of the outputs, applied last.
    pub(crate) after: Activation,
    /// Outputs that are joined for each row, or 0 if each product has an output of its own.
    pub(crate) slots: usize,
    /// Columns of the weight that belong to one bias, 1 if it has a bias each. Output `turn * n +
    /// column` is column `column * turns + turn` of the weight, with bias `column`, for `turns * n`
    /// outputs.
    pub(crate) turns: usize,
}

impl Form {
    /// Products of all rows.
    ///
    /// # Panics
    /// When there are more than [`PARTS`] parts.
    pub(crate) fn new(parts: &[Part]) -> Self {
        let mut form = Self {
            group: 1,
            turns: 1,
            count: parts.len(),
            ..Self::default()
        };
        form.parts[..parts.len()].copy_from_slice(parts);
        form
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    /// Part with this index.
    pub(super) fn part(&self, index: usize) -> Part {
        self.parts[index]
    }

    /// Form of one part, of rows that are normalised already if any are.
    pub(super) fn alone(&self, index: usize) -> Self {
        let mut form = Self {
            normed: false,
            kept: false,
            count: 1,
            ..*self
        };
        form.parts[0] = self.parts[index];
        form
    }

    /// Form of rows that have their positions already.
    pub(super) fn with_places_added(mut self) -> Self {
        self.placed = false;
        for part in &mut self.parts {
            part.placed = false;
        }
        self
    }

    /// First cube of a part, for cubes of some columns of one part each.
    pub(super) fn start(&self, part: usize, columns: usize) -> usize {
        let before = self.parts()[..part].iter();
        before.map(|part| part.outputs.div_ceil(columns)).sum()
    }

    /// Index of a part's output among those of all products.
    pub(super) fn output(&self, part: usize) -> usize {
        if self.slots == 0 { part } else { 0 }
    }

    /// Number of outputs of products.
    pub(super) fn outputs(&self) -> usize {
        if self.slots == 0 { self.count } else { 1 }
    }

    /// Outputs of a row in the tensor that a part is written to.
    pub(super) fn output_width(&self, part: usize) -> usize {
        self.part(part).outputs * self.slots.max(1)
    }

    /// Tensors of a launch.
    pub(super) fn bindings(&self) -> usize {
        let per_part = 1 + usize::from(self.biased);
        let norm = 2 * usize::from(self.normed);
        let others = [self.kept, self.placed, self.added];
        let others = others.into_iter().map(usize::from).sum::<usize>();
        1 + norm + others + per_part * self.count + self.outputs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_at_whole_cubes() {
        let part = |outputs| Part {
            outputs,
            ..Part::default()
        };
        let form = Form::new(&[part(5), part(4), part(1)]);
        let starts = [0, 1, 2, 3].map(|index| form.start(index, 4));
        assert_eq!(starts, [0, 2, 3, 4]);
        assert_eq!((form.outputs(), form.output(2)), (3, 2));
        let joined = Form { slots: 3, ..form };
        assert_eq!((joined.outputs(), joined.output(2)), (1, 0));
        assert_eq!(joined.output_width(1), 12);
    }

    #[test]
    fn bindings_are_counted() {
        let part = Part::default();
        let form = Form {
            normed: true,
            placed: true,
            biased: true,
            ..Form::new(&[part; 3])
        };
        // Rows, scale, shift and positions, and a weight, a bias and an output each.
        assert_eq!(form.bindings(), 4 + 9);
        assert_eq!(form.alone(1).bindings(), 2 + 3);
        assert_eq!(form.alone(1).with_places_added().bindings(), 1 + 3);
    }
}
