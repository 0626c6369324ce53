//! Matrix products of attention: small, on packed panels, within one thread.
//!
//! `C = A · B` runs over register blocks of a few rows by two vectors. B is packed into panels two
//! vectors wide, so that the inner loop reads it in order; A is read in place, one value at a time.
//! Rows of C are padded to [`PAD`] values, which spares the edge cases: the packed panels are
//! padded with zeros.

use super::simd::{Kernel, Simd, dispatch};

/// Rows of scratch matrices are whole multiples of this, the widest vector.
pub(crate) const PAD: usize = 16;

/// `width` rounded up to whole vectors.
pub(crate) const fn padded(width: usize) -> usize {
    width.div_ceil(PAD) * PAD
}

/// Values of a packed matrix of `depth` by `width`.
pub(crate) const fn packed_len(depth: usize, width: usize) -> usize {
    depth * padded(width)
}

/// A matrix read in place.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// Its values from the first on.
    pub(crate) values: &'a [f32],
    /// Distance of rows.
    pub(crate) row: usize,
    /// Distance of columns.
    pub(crate) column: usize,
}

/// Packs `B[k, n] = source[k · stride + n]`.
pub(crate) fn pack_rows(
    source: &[f32],
    stride: usize,
    depth: usize,
    width: usize,
    out: &mut [f32],
) {
    dispatch(Pack {
        source,
        stride,
        depth,
        width,
        out,
        transposed: false,
    });
}

/// Packs `B[k, n] = source[n · stride + k]`.
pub(crate) fn pack_transposed(
    source: &[f32],
    stride: usize,
    depth: usize,
    width: usize,
    out: &mut [f32],
) {
    dispatch(Pack {
        source,
        stride,
        depth,
        width,
        out,
        transposed: true,
    });
}

struct Pack<'a> {
    source: &'a [f32],
    stride: usize,
    depth: usize,
    width: usize,
    out: &'a mut [f32],
    transposed: bool,
}

impl Kernel for Pack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self {
            source,
            stride,
            depth,
            width,
            out,
            transposed,
        } = self;
        let mut first = 0;
        while first < padded(width) {
            let panel = (2 * S::LANES).min(padded(width) - first);
            let used = panel.min(width - first.min(width));
            let out = &mut out[first * depth..][..panel * depth];
            if used < panel {
                out.fill(0.0);
            }
            if transposed {
                let row = |n: usize| &source[(first + n) * stride..][..depth];
                let mut n = 0;
                while n + 4 <= used {
                    transpose_rows(
                        [row(n), row(n + 1), row(n + 2), row(n + 3)],
                        &mut out[n..],
                        panel,
                    );
                    n += 4;
                }
                for n in n..used {
                    for (out, &x) in out[n..].iter_mut().step_by(panel).zip(row(n)) {
                        *out = x;
                    }
                }
            } else {
                for (k, out) in out.chunks_exact_mut(panel).enumerate() {
                    let row = &source[k * stride + first..][..used];
                    if used < panel {
                        out[..used].copy_from_slice(row);
                        continue;
                    }
                    // A call of `memcpy` would take longer than the copy.
                    for at in (0..panel).step_by(S::LANES) {
                        // SAFETY: both rows are `panel` values long, a multiple of the lanes.
                        unsafe {
                            S::store(out.as_mut_ptr().add(at), S::load(row.as_ptr().add(at)))
                        };
                    }
                }
            }
            first += panel;
        }
    }
}

/// `out[k · stride + n] = rows[n][k]`, in squares of four.
#[inline(always)]
fn transpose_rows(rows: [&[f32]; 4], out: &mut [f32], stride: usize) {
    let depth = rows[0].len();
    let squares = rows.map(|row| row.as_chunks::<4>().0);
    for k in 0..depth / 4 {
        let square = transpose(squares.map(|row| row[k]));
        for (i, column) in square.into_iter().enumerate() {
            out[(4 * k + i) * stride..][..4].copy_from_slice(&column);
        }
    }
    for k in depth / 4 * 4..depth {
        for (out, row) in out[k * stride..].iter_mut().zip(rows) {
            *out = row[k];
        }
    }
}

/// Rows to columns. The compiler does not find the shuffles by itself.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transpose(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    use core::arch::x86_64::*;
    // SAFETY: SSE is in the baseline; the loads and stores are of whole arrays, unaligned.
    unsafe {
        let [a, b, c, d] = rows.map(|row| _mm_loadu_ps(row.as_ptr()));
        let (ab_low, ab_high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
        let (cd_low, cd_high) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
        let columns = [
            _mm_movelh_ps(ab_low, cd_low),
            _mm_movehl_ps(cd_low, ab_low),
            _mm_movelh_ps(ab_high, cd_high),
            _mm_movehl_ps(cd_high, ab_high),
        ];
        columns.map(|column| {
            let mut out = [0.0; 4];
            _mm_storeu_ps(out.as_mut_ptr(), column);
            out
        })
    }
}

/// Rows to columns.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn transpose(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    core::array::from_fn(|i| rows.map(|row| row[i]))
}

/// What [`product`] takes.
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

/// A register block of C, some rows by one or two vectors.
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
                for v in 0..V {
                    columns[v] = S::load(b.add(v * S::LANES));
                }
                for r in 0..R {
                    let x = S::splat(*a.add(if UNIT { r } else { r * self.a_row }));
                    for v in 0..V {
                        sums[r][v] = S::mul_add(x, columns[v], sums[r][v]);
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
