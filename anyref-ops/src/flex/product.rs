//! Matrix products of attention: small, on packed panels, within one thread.
//!
//! `C = A · B` runs over register blocks of a few rows by two vectors. B is packed into panels two
//! vectors wide, so that the inner loop reads it in order; A is read in place, one value at a time.
//! Rows of C are padded to [`PAD`] values, which spares the edge cases: the packed panels are
//! padded with zeros.

use super::simd::{Kernel, Simd, dispatch};

/// Alignment of scratch rows in values: the widest vector.
pub(crate) const PAD: usize = 16;

/// `width` rounded up to whole vectors.
pub(crate) const fn padded(width: usize) -> usize {
    width.div_ceil(PAD) * PAD
}

/// Values of a packed matrix of `depth` by `width`.
pub(crate) const fn packed_len(depth: usize, width: usize) -> usize {
    depth * padded(width)
}

/// Columns that a panel of the process's instruction set has, in whole [`PAD`]s.
pub(crate) fn panel_width() -> usize {
    struct Width;
    impl Kernel for Width {
        type Output = usize;
        #[inline(always)]
        fn run<S: Simd>(self) -> usize {
            (2 * S::LANES).next_multiple_of(PAD)
        }
    }
    dispatch(Width)
}

/// Matrix read in place.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// Values from the first on.
    pub(crate) values: &'a [f32],
    /// Distance of rows.
    pub(crate) row: usize,
    /// Distance of columns.
    pub(crate) column: usize,
}

/// Inputs of [`product`].
pub(crate) struct Product<'a> {
    /// `[rows, depth]`
    pub(crate) a: Matrix<'a>,
    /// `[depth, width]`, packed.
    pub(crate) b: &'a [f32],
    /// `[rows, width]` with rows `stride` apart, `stride >= padded(width)`.
    pub(crate) c: &'a mut [f32],
    /// Distance of the rows of `c`.
    pub(crate) stride: usize,
    /// Rows of A and C.
    pub(crate) rows: usize,
    /// Columns of A, rows of B.
    pub(crate) depth: usize,
    /// Columns of B and C.
    pub(crate) width: usize,
    /// Adds to C instead of overwriting it.
    pub(crate) accumulate: bool,
}

/// `C = A · B` for rows of `depth` values in order and a packed `[depth, width]` of whole vectors.
///
/// # Shapes
/// - rows: `[rows, depth]`
/// - c: `[rows, width]`
pub(crate) fn product_of_rows(
    rows: &[f32],
    depth: usize,
    packed: &[f32],
    c: &mut [f32],
    width: usize,
) {
    product(Product {
        a: Matrix {
            values: rows,
            row: depth,
            column: 1,
        },
        b: packed,
        c,
        stride: width,
        rows: rows.len() / depth,
        depth,
        width,
        accumulate: false,
    });
}

/// `C = A · B` or `C += A · B`; the padding of C is overwritten too.
pub(crate) fn product(product: Product<'_>) {
    let Product {
        a,
        b,
        ref c,
        stride,
        rows,
        depth,
        width,
        ..
    } = product;
    if rows == 0 || depth == 0 {
        return;
    }
    assert!(
        a.values.len() > (rows - 1) * a.row + (depth - 1) * a.column,
        "A is too short"
    );
    assert!(b.len() >= packed_len(depth, width), "B is too short");
    assert!(stride >= padded(width), "rows of C overlap");
    assert!(
        c.len() >= (rows - 1) * stride + padded(width),
        "C is too short"
    );
    dispatch(product);
}

impl Kernel for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        if self.a.row == 1 {
            self.panels::<S, true>()
        } else {
            self.panels::<S, false>()
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn panels<S: Simd, const UNIT: bool>(self) {
        let c = self.c.as_mut_ptr();
        let mut first = 0;
        while first < padded(self.width) {
            let panel = (2 * S::LANES).min(padded(self.width) - first);
            let mut row = 0;
            while row < self.rows {
                let rows = (self.rows - row).min(S::ROWS);
                // SAFETY: `product` has checked that rows, depth and padded width are in bounds.
                unsafe {
                    let block = Block {
                        a: self.a.values.as_ptr().add(row * self.a.row),
                        a_row: self.a.row,
                        a_column: self.a.column,
                        b: self.b.as_ptr().add(first * self.depth),
                        c: c.add(row * self.stride + first),
                        stride: self.stride,
                        depth: self.depth,
                        accumulate: self.accumulate,
                    };
                    if panel == S::LANES {
                        block.rows::<S, UNIT, 1>(rows);
                    } else {
                        block.rows::<S, UNIT, 2>(rows);
                    }
                }
                row += rows;
            }
            first += panel;
        }
    }
}

/// Register block of C: some rows by one or two vectors.
struct Block {
    a: *const f32,
    a_row: usize,
    a_column: usize,
    b: *const f32,
    c: *mut f32,
    stride: usize,
    depth: usize,
    accumulate: bool,
}

impl Block {
    #[inline(always)]
    unsafe fn rows<S: Simd, const UNIT: bool, const V: usize>(self, rows: usize) {
        macro_rules! by_rows {
            ($($n:literal)*) => {
                match rows {
                    // SAFETY: as the caller's.
                    $($n if $n <= S::ROWS => unsafe { self.run::<S, UNIT, V, $n>() },)*
                    _ => unreachable!("a block has at most {} rows", S::ROWS),
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8 9 10 11 12)
    }

    #[inline(always)]
    unsafe fn run<S: Simd, const UNIT: bool, const V: usize, const R: usize>(self) {
        // SAFETY: the caller has checked the bounds and the instruction set.
        unsafe {
            let mut sums = [[S::splat(0.0); V]; R];
            let (mut a, mut b) = (self.a, self.b);
            for _ in 0..self.depth {
                let mut columns = [S::splat(0.0); V];
                for (v, column) in columns.iter_mut().enumerate() {
                    *column = S::load(b.add(v * S::LANES));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = S::splat(*a.add(if UNIT { r } else { r * self.a_row }));
                    for (sum, &column) in sums.iter_mut().zip(&columns) {
                        *sum = S::mul_add(x, column, *sum);
                    }
                }
                a = a.wrapping_add(self.a_column);
                b = b.add(V * S::LANES);
            }
            for (r, sums) in sums.into_iter().enumerate() {
                for (v, mut sum) in sums.into_iter().enumerate() {
                    let c = self.c.add(r * self.stride + v * S::LANES);
                    if self.accumulate {
                        sum = S::add(sum, S::load(c));
                    }
                    S::store(c, sum);
                }
            }
        }
    }
}
