//! Packing of the right side of a matrix product into panels two vectors wide.

use super::product::padded;
use super::simd::{Kernel, Simd, dispatch};

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
        for first in (0..padded(width)).step_by(2 * S::LANES) {
            let panel = (2 * S::LANES).min(padded(width) - first);
            let used = panel.min(width - first.min(width));
            let out = &mut out[first * depth..][..panel * depth];
            if used < panel {
                out.fill(0.0);
            }
            if used == 0 {
                // Narrow vectors have panels of padding alone, which start after the source's end.
                continue;
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
        }
    }
}

/// Writes `out[k · stride + n] = rows[n][k]`, in squares of four.
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

/// Transposes a 4 × 4 matrix. The compiler does not find the shuffles by itself.
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

/// Transposes a 4 × 4 matrix, as above.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[inline(always)]
fn transpose(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    use core::arch::wasm32::*;
    // SAFETY: the loads and stores are of whole arrays, unaligned.
    unsafe {
        let [a, b, c, d] = rows.map(|row| v128_load(row.as_ptr().cast()));
        let (ab_low, ab_high) = (
            i32x4_shuffle::<0, 4, 1, 5>(a, b),
            i32x4_shuffle::<2, 6, 3, 7>(a, b),
        );
        let (cd_low, cd_high) = (
            i32x4_shuffle::<0, 4, 1, 5>(c, d),
            i32x4_shuffle::<2, 6, 3, 7>(c, d),
        );
        let columns = [
            i64x2_shuffle::<0, 2>(ab_low, cd_low),
            i64x2_shuffle::<1, 3>(ab_low, cd_low),
            i64x2_shuffle::<0, 2>(ab_high, cd_high),
            i64x2_shuffle::<1, 3>(ab_high, cd_high),
        ];
        columns.map(|column| {
            let mut out = [0.0; 4];
            v128_store(out.as_mut_ptr().cast(), column);
            out
        })
    }
}

/// Transposes a 4 × 4 matrix.
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "wasm32", target_feature = "simd128")
)))]
#[inline(always)]
fn transpose(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
    core::array::from_fn(|i| rows.map(|row| row[i]))
}

#[cfg(test)]
mod tests {
    use super::super::product::packed_len;
    use super::super::simd::Portable;
    use super::*;

    /// Uses the narrowest vectors, whatever the machine has.
    #[test]
    fn panels_of_padding_alone_are_zeros() {
        for (depth, width) in [(1, 1), (3, 5), (2, 8), (7, 17), (4, 25)] {
            for transposed in [false, true] {
                let stride = if transposed { depth } else { width };
                let source: Vec<f32> = (1..=depth * width).map(|i| i as f32).collect();
                let mut out = vec![f32::NAN; packed_len(depth, width)];
                let pack = Pack {
                    source: &source,
                    stride,
                    depth,
                    width,
                    out: &mut out,
                    transposed,
                };
                pack.run::<Portable>();
                let panel = 2 * Portable::LANES;
                for (index, &found) in out.iter().enumerate() {
                    let (panels, within) = (index / (depth * panel), index % (depth * panel));
                    let (k, n) = (within / panel, panels * panel + within % panel);
                    let expected = match (n < width, transposed) {
                        (false, _) => 0.0,
                        (true, false) => source[k * stride + n],
                        (true, true) => source[n * stride + k],
                    };
                    assert_eq!(found, expected, "{depth}x{width} {transposed} {k} {n}");
                }
            }
        }
    }
}
