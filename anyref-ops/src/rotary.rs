//! Rotary positions.

#[cfg(feature = "cube")]
use super::cube;
#[cfg(feature = "flex")]
use super::flex;
use crate::cached_rows::{CacheType, CachedRows};
use burn::tensor::{Tensor, backend::Backend};

/// Cosines and sines of the angles used by [`rotary`]. They carry no gradient.
#[derive(Debug, Clone)]
pub struct Angles<B: Backend> {
    /// Cosines, `[batch or 1, 1, length, head_dim / 2]`.
    pub cos: Tensor<B, 4>,
    /// Sines, `[batch or 1, 1, length, head_dim / 2]`.
    pub sin: Tensor<B, 4>,
}

impl<B: Backend> Angles<B> {
    /// Creates the angles from their cosines and sines.
    ///
    /// # Shapes
    /// - cos and sin: `[batch or 1, 1, length, head_dim / 2]`
    pub fn new(cos: Tensor<B, 4>, sin: Tensor<B, 4>) -> Self {
        Self { cos, sin }
    }
}

/// Rotates component `i` of every head together with component `i + head_dim / 2`, the half-split
/// layout of transformers' `apply_rotary_pos_emb`.
///
/// # Shapes
/// - x and output: `[batch, heads, length, head_dim]`
pub fn rotary<B: Backend>(x: Tensor<B, 4>, angles: &Angles<B>) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    let x = match flex::rotary(x, angles) {
        Ok(y) => return y,
        Err(x) => x,
    };
    composed(x, angles)
}

/// Rotates queries and keys as [`rotary`] does, on GPUs in one launch.
///
/// # Shapes
/// - query and key: `[batch, heads, length, head_dim]`, whose heads may differ in number
/// - outputs: the same
pub fn rotary_each<B: Backend>(
    [query, key]: [Tensor<B, 4>; 2],
    angles: &Angles<B>,
) -> [Tensor<B, 4>; 2] {
    #[cfg(feature = "cube")]
    if let Some(rotated) = cube::rotate([&query, &key], [&angles.cos, &angles.sin]) {
        return rotated;
    }
    [query, key].map(|x| rotary(x, angles))
}

/// Keys and values of a cache with room for more.
#[derive(Debug, Clone)]
pub struct CacheRoom<B: Backend> {
    /// Keys and values, `[batch, kv_heads, capacity, head_dim]`.
    pub cached: [CachedRows<B>; 2],
    /// Position of the next row.
    pub first: usize,
    /// Type that the cache keeps rows in.
    pub cache_type: CacheType,
}

/// Rotates queries and keys as [`rotary_each`] does, and writes keys and values to a cache, in
/// place where nothing else holds it; on GPUs without gradients in one launch, unless the cache is
/// in blocks.
///
/// # Shapes
/// - query: `[batch, heads, length, head_dim]`
/// - key and value: `[batch, kv_heads, length, head_dim]`, with `first + length <= capacity`
/// - outputs: the rotated queries, and the cached keys and values
///
/// # Panics
/// When the cache has no room for the keys.
pub fn rotary_into_cache<B: Backend>(
    [query, key, value]: [Tensor<B, 4>; 3],
    angles: &Angles<B>,
    room: CacheRoom<B>,
) -> (Tensor<B, 4>, [CachedRows<B>; 2]) {
    let CacheRoom {
        cached,
        first,
        cache_type,
    } = room;
    #[cfg(feature = "cube")]
    let ([query, key, value], cached) = match cached {
        [CachedRows::Float(keys), CachedRows::Float(values)] => {
            let appending = cube::Appending {
                projected: [query, key, value],
                cached: [keys, values],
            };
            let append = cube::RotaryAppend::new(first);
            match cube::rotate_and_append(appending, [&angles.cos, &angles.sin], append) {
                Ok([query, keys, values]) => {
                    return (query, [keys, values].map(CachedRows::Float));
                }
                Err(back) => (back.projected, back.cached.map(CachedRows::Float)),
            }
        }
        blocks => ([query, key, value], blocks),
    };
    let [query, key] = rotary_each([query, key], angles);
    let [keys, values] = cached;
    let keys = keys.assign(first, CachedRows::new(key, cache_type));
    let values = values.assign(first, CachedRows::new(value, cache_type));
    (query, [keys, values])
}

/// Composed form, in burn's own tensor operations.
pub(super) fn composed<B: Backend>(x: Tensor<B, 4>, angles: &Angles<B>) -> Tensor<B, 4> {
    let Angles { cos, sin } = angles;
    let half = x.dims()[3] / 2;
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    let turned = vec![
        first.clone() * cos.clone() - second.clone() * sin.clone(),
        second * cos.clone() + first * sin.clone(),
    ];
    Tensor::cat(turned, 3)
}
