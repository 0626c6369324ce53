//! Mapping between burn's and PyTorch's names and layouts of parameters.
//!
//! The rules are those of burn-store's `PyTorchToBurnAdapter`: a `Linear` weight is transposed, and
//! the `gamma`/`beta` of a normalisation are `weight`/`bias` in PyTorch. They are implemented here
//! again because the adapter transposes byte by byte on one thread, which takes minutes for
//! billions of parameters.

use rayon::prelude::*;

/// Side of the square blocks that are transposed at once.
const BLOCK: usize = 64;

/// Whether what is entered is the variant of an enum, by its container, and no field.
pub(crate) fn is_variant(container: &str) -> bool {
    container.starts_with("Enum:")
}

/// Path of a parameter in a module, tracked while visiting.
#[derive(Debug, Default)]
pub(crate) struct ParamPath {
    names: Vec<String>,
    containers: Vec<String>,
}

impl ParamPath {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        self.containers.push(container.to_string());
        // PyTorch names do not include the variant of an enum.
        if !is_variant(container) {
            self.names.push(name.to_string());
        }
    }

    pub(crate) fn exit(&mut self, container: &str) {
        self.containers.pop();
        if !is_variant(container) {
            self.names.pop();
        }
    }

    /// Name of the parameter in PyTorch.
    pub(crate) fn torch_name(&self) -> String {
        let mut name = self.names.join(".");
        let last = self.names.last().map_or("", String::as_str);
        if let ("Struct:LayerNorm" | "Struct:BatchNorm" | "Struct:GroupNorm", "gamma" | "beta") =
            (self.module_type(), last)
        {
            name.truncate(name.len() - last.len());
            name.push_str(if last == "gamma" { "weight" } else { "bias" });
        }
        name
    }

    /// Returns whether PyTorch stores the parameter, of `rank` dimensions, transposed.
    pub(crate) fn is_transposed(&self, rank: usize) -> bool {
        rank == 2
            && self.module_type() == "Struct:Linear"
            && self.names.last().is_some_and(|name| name == "weight")
    }

    /// Returns whether the parameter, of `rank` dimensions, is the matrix of a linear layer: a
    /// weight, or a table that is also used as one.
    pub(crate) fn is_matrix(&self, rank: usize) -> bool {
        let name = |from_last: usize| {
            let index = self.names.len().checked_sub(1 + from_last)?;
            Some(self.names[index].as_str())
        };
        self.is_transposed(rank)
            || rank == 2
                && (name(0) == Some("in_proj_weight")
                    || name(0) == Some("weight") && name(1) == Some("embed_tokens"))
    }

    /// Struct or enum that holds the parameter, as named by burn's derive.
    fn module_type(&self) -> &str {
        self.containers
            .iter()
            .rev()
            .find(|name| name.starts_with("Struct:") || name.starts_with("Enum:"))
            .map_or("", String::as_str)
    }
}

/// Transposes a matrix of elements of 1, 2, 4 or 8 bytes.
pub(crate) fn transpose(bytes: &[u8], rows: usize, columns: usize, element: usize) -> Vec<u8> {
    match element {
        1 => transpose_elements::<1>(bytes, rows, columns),
        2 => transpose_elements::<2>(bytes, rows, columns),
        4 => transpose_elements::<4>(bytes, rows, columns),
        _ => transpose_elements::<8>(bytes, rows, columns),
    }
}

fn transpose_elements<const N: usize>(bytes: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    let (input, _) = bytes.as_chunks::<N>();
    let mut output = vec![0u8; rows * columns * N];
    if output.is_empty() {
        return output;
    }
    output
        .par_chunks_mut(BLOCK * rows * N)
        .enumerate()
        .for_each(|(block, chunk)| {
            let (chunk, _) = chunk.as_chunks_mut::<N>();
            let first = block * BLOCK;
            let width = chunk.len() / rows;
            // An intermediate tile keeps reads and writes sequential: rows a power of two apart
            // share cache sets.
            let mut tile = [[[0u8; N]; BLOCK]; BLOCK];
            for top in (0..rows).step_by(BLOCK) {
                let height = BLOCK.min(rows - top);
                for (row, line) in tile.iter_mut().enumerate().take(height) {
                    let start = (top + row) * columns + first;
                    line[..width].copy_from_slice(&input[start..start + width]);
                }
                for column in 0..width {
                    let start = column * rows + top;
                    for (line, slot) in tile.iter().zip(&mut chunk[start..start + height]) {
                        *slot = line[column];
                    }
                }
            }
        });
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_shapes_around_the_block_size() {
        for (rows, columns) in [(1, 1), (3, 200), (64, 64), (65, 130), (200, 1), (0, 4)] {
            let input: Vec<u16> = (0..rows * columns).map(|i| i as u16).collect();
            let bytes: Vec<u8> = input.iter().flat_map(|v| v.to_le_bytes()).collect();
            let expected: Vec<u8> = (0..columns)
                .flat_map(|c| (0..rows).map(move |r| r * columns + c))
                .flat_map(|i| (i as u16).to_le_bytes())
                .collect();
            assert_eq!(
                transpose(&bytes, rows, columns, 2),
                expected,
                "{rows}x{columns}"
            );
        }
    }
}
