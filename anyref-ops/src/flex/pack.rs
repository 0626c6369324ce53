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
                #[cfg(target_arch = "x86_64")]
                while S::LANES == 16 && n + 16 <= used {
                    let rows = core::array::from_fn(|i| row(n + i));
                    // SAFETY: vectors of sixteen are those of AVX-512.
                    unsafe { transpose_many::<16>(rows, &mut out[n..], panel) };
                    n += 16;
                }
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

/// Writes `out[k · stride + n] = rows[n][k]` for up to `N` rows of words; rows that are missing,
/// the last ones, are empty.
pub(crate) fn interleave<W: Copy, const N: usize>(rows: [&[W]; N], out: &mut [W], stride: usize) {
    assert_eq!(size_of::<W>(), size_of::<f32>());
    // SAFETY: words of the size of a float are moved as floats, whose patterns are all valid.
    let rows = rows
        .map(|row| unsafe { core::slice::from_raw_parts(row.as_ptr().cast::<f32>(), row.len()) });
    // SAFETY: as above.
    let out = unsafe { core::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<f32>(), out.len()) };
    dispatch(Interleave { rows, out, stride });
}

/// Operands of [`interleave`].
struct Interleave<'a, const N: usize> {
    rows: [&'a [f32]; N],
    out: &'a mut [f32],
    stride: usize,
}

impl<const N: usize> Kernel for Interleave<'_, N> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self { rows, out, stride } = self;
        let depth = rows[0].len();
        let count = rows.iter().take_while(|row| !row.is_empty()).count();
        #[cfg(target_arch = "x86_64")]
        if S::LANES == 16 && N > 4 && count == N {
            // SAFETY: vectors of sixteen are those of AVX-512.
            return unsafe { transpose_many(rows, out, stride) };
        }
        let mut n = 0;
        while n + 4 <= count {
            let four = [rows[n], rows[n + 1], rows[n + 2], rows[n + 3]];
            transpose_rows(four, &mut out[n..], stride);
            n += 4;
        }
        for (n, row) in rows.iter().enumerate().take(count).skip(n) {
            for (out, &x) in out[n..].iter_mut().step_by(stride).zip(&row[..depth]) {
                *out = x;
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

/// Writes `out[k · stride + n] = rows[n][k]` for up to sixteen rows, in squares of sixteen.
///
/// # Safety
/// The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop, reason = "the same index on both sides")]
#[inline(always)]
unsafe fn transpose_many<const N: usize>(rows: [&[f32]; N], out: &mut [f32], stride: usize) {
    use core::arch::x86_64::*;
    let depth = rows[0].len();
    let whole = depth / 16 * 16;
    assert!(N <= 16 && rows.iter().all(|row| row.len() == depth));
    assert!(depth == 0 || out.len() >= (depth - 1) * stride + N);
    for k in (0..whole).step_by(16) {
        // SAFETY: all rows have sixteen values from `k` on, and `out` has room for sixteen columns.
        unsafe {
            let mut square = [_mm512_setzero_ps(); 16];
            for i in 0..N {
                square[i] = _mm512_loadu_ps(rows[i].as_ptr().add(k));
            }
            let columns = transposed(square);
            for i in 0..16 {
                let at = out.as_mut_ptr().add((k + i) * stride);
                match N {
                    16 => _mm512_storeu_ps(at, columns[i]),
                    _ => _mm512_mask_storeu_ps(at, ((1u32 << N) - 1) as u16, columns[i]),
                }
            }
        }
    }
    for k in whole..depth {
        for (out, row) in out[k * stride..].iter_mut().zip(rows) {
            *out = row[k];
        }
    }
}

/// Transposes a 16 × 16 matrix.
///
/// # Safety
/// The machine has AVX-512.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transposed(rows: [core::arch::x86_64::__m512; 16]) -> [core::arch::x86_64::__m512; 16] {
    use core::arch::x86_64::*;
    // SAFETY: the instructions are there.
    unsafe {
        // Loops, since a closure would not have the instructions. Pairs of rows first.
        let mut twos = rows;
        for i in (0..16).step_by(2) {
            twos[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
            twos[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
        }
        // Vector 4 i + j has columns j, j + 4, j + 8 and j + 12 of rows 4 i to 4 i + 3.
        let mut fours = rows;
        for i in (0..16).step_by(4) {
            for half in 0..2 {
                let a = _mm512_castps_pd(twos[i + half]);
                let b = _mm512_castps_pd(twos[i + half + 2]);
                fours[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                fours[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        let mut columns = rows;
        for j in 0..4 {
            let even = _mm512_shuffle_f32x4::<0x88>(fours[j], fours[j + 4]);
            let odd = _mm512_shuffle_f32x4::<0xdd>(fours[j], fours[j + 4]);
            let even_below = _mm512_shuffle_f32x4::<0x88>(fours[j + 8], fours[j + 12]);
            let odd_below = _mm512_shuffle_f32x4::<0xdd>(fours[j + 8], fours[j + 12]);
            columns[j] = _mm512_shuffle_f32x4::<0x88>(even, even_below);
            columns[j + 4] = _mm512_shuffle_f32x4::<0x88>(odd, odd_below);
            columns[j + 8] = _mm512_shuffle_f32x4::<0xdd>(even, even_below);
            columns[j + 12] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_below);
        }
        columns
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

    #[test]
    fn rows_are_interleaved_by_words() {
        fn check<const N: usize>() {
            for depth in [1, 3, 4, 16, 31, 33, 64] {
                for missing in 0..N {
                    let values: Vec<u32> = (1..=(N * depth) as u32).collect();
                    let row = |n: usize| match n < N - missing {
                        true => &values[n * depth..][..depth],
                        false => &[],
                    };
                    let stride = N + 2;
                    let mut out = vec![0; (depth - 1) * stride + N];
                    interleave::<u32, N>(core::array::from_fn(row), &mut out, stride);
                    for (index, &found) in out.iter().enumerate() {
                        let (k, n) = (index / stride, index % stride);
                        let there = n < N - missing;
                        let expected = if there { values[n * depth + k] } else { 0 };
                        assert_eq!(found, expected, "{N} {depth} {missing} {k} {n}");
                    }
                }
            }
        }
        check::<4>();
        check::<12>();
    }

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
