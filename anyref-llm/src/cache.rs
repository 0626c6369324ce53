//! Keys and values of what a model has read.

use anyref_ops::{self as ops, Angles, CacheCapacity, CacheRoom, CacheType, CachedRows};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData, backend::Backend};

use crate::padding::no_padding;

/// Keys and values of one layer.
#[derive(Debug, Clone)]
pub struct LayerCache<B: Backend> {
    entry: Option<[Rows<B>; 2]>,
    cache_type: CacheType,
    /// Capacity beyond the tokens; that which suits the device when absent.
    spare: Option<CacheCapacity>,
}

/// Divisor of the length; the quotient is the growth of a full buffer.
const SPARE: usize = 8;
/// Minimum rows by which a full buffer grows.
const LEAST: usize = 32;

/// Rows of a buffer that may have a capacity for more.
#[derive(Debug, Clone)]
struct Rows<B: Backend> {
    /// `[batch, kv_heads, capacity, head_dim]`
    buffer: CachedRows<B>,
    length: usize,
}

impl<B: Backend> Rows<B> {
    fn new(rows: CachedRows<B>) -> Self {
        Self {
            length: rows.dims()[2],
            buffer: rows,
        }
    }

    /// Rows that the buffer can hold.
    fn capacity(&self) -> usize {
        self.buffer.dims()[2]
    }

    fn get(&self) -> CachedRows<B> {
        match self.capacity() == self.length {
            true => self.buffer.clone(),
            false => self.buffer.truncate(self.length),
        }
    }

    /// The [`capacity`](Self::capacity) after some rows more.
    fn capacity_after(&self, added: usize, spare: CacheCapacity) -> usize {
        let length = self.length + added;
        if length <= self.capacity() {
            self.capacity()
        } else if added == 1 && spare != CacheCapacity::Exact {
            (length + (length / SPARE).max(LEAST)).next_multiple_of(ops::ALIGNMENT)
        } else {
            // A prompt after a prefix is read at once.
            length
        }
    }

    /// Appends rows for which there is no room.
    fn append(self, rows: CachedRows<B>, spare: CacheCapacity) -> Self {
        let added = rows.dims()[2];
        let length = self.length + added;
        let capacity = self.capacity_after(added, spare);
        let spare = (capacity > length).then(|| rows.zeros(capacity - length));
        let parts = [self.get(), rows].into_iter().chain(spare);
        let buffer = CachedRows::cat(parts.collect(), 2);
        Self { buffer, length }
    }
}

impl<B: Backend> LayerCache<B> {
    /// Rotates queries and keys, and appends keys and values in the cache's type. Returns the
    /// rotated queries, and the keys and values to attend to: all, and room after them where the
    /// model's [mask](crate::attention::AttentionContext::mask) covers it.
    ///
    /// # Shapes
    /// - query: `[batch, heads, length, head_dim]`
    /// - key and value: `[batch, kv_heads, length, head_dim]`
    pub(crate) fn append(
        &mut self,
        [query, key, value]: [Tensor<B, 4>; 3],
        rotation: &Angles<B>,
    ) -> (Tensor<B, 4>, CachedRows<B>, CachedRows<B>) {
        let (added, spare) = (key.dims()[2], self.spare(&key.device()));
        let has_room = |[key, _]: &[Rows<B>; 2]| key.length + added <= key.capacity();
        let (query, entry) = match self.entry.take() {
            Some(past) if has_room(&past) => {
                let (first, length) = (past[0].length, past[0].length + added);
                let room = CacheRoom {
                    cached: past.map(|rows| rows.buffer),
                    first,
                    cache_type: self.cache_type,
                };
                let (query, cached) = ops::rotary_into_cache([query, key, value], rotation, room);
                (query, cached.map(|buffer| Rows { buffer, length }))
            }
            past => {
                let [query, key] = ops::rotary_each([query, key], rotation);
                let rows = [key, value].map(|rows| CachedRows::new(rows, self.cache_type));
                let entry = match (past, rows) {
                    (Some([past_key, past_value]), [key, value]) => {
                        [past_key.append(key, spare), past_value.append(value, spare)]
                    }
                    (None, rows) => rows.map(Rows::new),
                };
                (query, entry)
            }
        };
        let [key, value] = entry.each_ref().map(|rows| match masks(added, spare) {
            true => rows.buffer.clone(),
            false => rows.get(),
        });
        self.entry = Some(entry);
        (query, key, value)
    }

    fn spare(&self, device: &B::Device) -> CacheCapacity {
        self.spare.unwrap_or_else(|| CacheCapacity::of::<B>(device))
    }
}

/// Returns whether attention covers the spare capacity under a mask. Several tokens at once see
/// different keys, the last one all.
fn masks(added: usize, spare: CacheCapacity) -> bool {
    added == 1 && spare == CacheCapacity::Masked
}

/// Keys and values of all layers for the sequences read so far.
///
/// A clone shares the tensors, so a prefix can be read once and continued many times. On an
/// autodiff backend gradients flow from every continuation back through the prefix.
#[derive(Debug, Clone)]
pub struct KvCache<B: Backend> {
    layers: Vec<LayerCache<B>>,
    padding: Option<Tensor<B, 2, Bool>>,
}

impl<B: Backend> KvCache<B> {
    /// Creates an empty cache for a model of `layers` layers, of keys and values as they are
    /// computed.
    pub fn new(layers: usize) -> Self {
        Self::of_type(layers, CacheType::F32)
    }

    /// Creates an empty cache for a model of `layers` layers that keeps keys and values in
    /// `cache_type`. On a backend with gradients they stay as they are computed.
    pub fn of_type(layers: usize, cache_type: CacheType) -> Self {
        let layer = LayerCache {
            entry: None,
            cache_type,
            spare: None,
        };
        Self {
            layers: vec![layer; layers],
            padding: None,
        }
    }

    /// Bytes of all keys and values, the room for more included.
    pub fn bytes(&self) -> usize {
        let rows = self.layers.iter().flat_map(|layer| layer.entry.iter());
        rows.flatten().map(|rows| rows.buffer.bytes()).sum()
    }

    /// Sets the capacity for tokens to come, in place of that which suits the device.
    pub fn with_capacity(mut self, spare: CacheCapacity) -> Self {
        for layer in &mut self.layers {
            layer.spare = Some(spare);
        }
        self
    }

    /// Number of positions read, padding included.
    pub fn len(&self) -> usize {
        self.first().map_or(0, |key| key.length)
    }

    /// Returns whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of rows, 0 while empty.
    pub fn batch(&self) -> usize {
        self.first().map_or(0, |key| key.buffer.dims()[0])
    }

    /// Keys of the last layer, `[batch, kv_heads, len, head_dim]`, in f32 where they are kept in
    /// blocks; `None` while empty.
    pub fn last_key(&self) -> Option<Tensor<B, 4>> {
        let [key, _] = self.layers.last()?.entry.as_ref()?;
        Some(match key.get() {
            CachedRows::Float(key) => key,
            blocks => blocks.values(DType::F32),
        })
    }

    /// Key positions that some tokens more attend to, spare capacity included.
    pub(crate) fn attended(&self, added: usize, device: &B::Device) -> usize {
        let Some((layer, key)) = self.layers.first().zip(self.first()) else {
            return added;
        };
        let spare = layer.spare(device);
        match masks(added, spare) {
            true => key.capacity_after(added, spare),
            false => key.length + added,
        }
    }

    /// Padding mask of the positions, `[batch, len]`; `None` when there is no padding.
    pub fn padding(&self) -> Option<Tensor<B, 2, Bool>> {
        self.padding.clone()
    }

    /// Repeats each row `times` times in succession: `[a, b]` becomes `[a, a, b, b]` for 2.
    pub fn repeat(&self, times: usize) -> Self {
        self.map(
            |rows| rows.repeat(times),
            |padding| {
                let [batch, length] = padding.dims();
                padding
                    .unsqueeze_dim::<3>(1)
                    .expand([batch, times, length])
                    .reshape([batch * times, length])
            },
        )
    }

    /// Joins the rows of several caches, one cache after the other.
    ///
    /// # Panics
    /// When there is none, or they differ in layers or positions.
    pub fn cat(caches: &[Self]) -> Self {
        let [first, rest @ ..] = caches else {
            panic!("rows of at least one cache");
        };
        if rest.is_empty() {
            return first.clone();
        }
        for other in rest {
            let (layers, positions) = (other.layers.len(), other.len());
            assert_eq!(
                (layers, positions),
                (first.layers.len(), first.len()),
                "caches of the same layers and positions"
            );
        }
        let part = |layer: usize, index: usize| {
            let parts: Option<Vec<_>> = caches
                .iter()
                .map(|cache| Some(cache.layers[layer].entry.as_ref()?[index].get()))
                .collect();
            parts.map(|parts| Rows::new(CachedRows::cat(parts, 0)))
        };
        let layers = (0..first.layers.len()).map(|layer| LayerCache {
            entry: part(layer, 0)
                .zip(part(layer, 1))
                .map(|(key, value)| [key, value]),
            cache_type: first.layers[layer].cache_type,
            spare: first.layers[layer].spare,
        });
        let device = first.first().map(|key| key.buffer.device());
        let padded = caches.iter().any(|cache| cache.padding.is_some());
        let padding = device.filter(|_| padded).map(|device| {
            let of = |cache: &Self| {
                let none = || no_padding(cache.batch(), cache.len(), &device);
                cache.padding.clone().unwrap_or_else(none)
            };
            Tensor::cat(caches.iter().map(of).collect(), 0)
        });
        Self {
            layers: layers.collect(),
            padding,
        }
    }

    /// Selects rows in the order of `rows`, each as often as it is listed.
    ///
    /// # Panics
    /// When a row does not exist, on backends that check it, as the CPU's does.
    pub fn select(&self, rows: &[usize]) -> Self {
        let Some(device) = self.first().map(|key| key.buffer.device()) else {
            return self.clone();
        };
        let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let indices = TensorData::new(indices, [rows.len()]);
        let indices = Tensor::<B, 1, Int>::from_data(indices, &device);
        self.map(
            |rows| rows.select(indices.clone()),
            // By way of integers, since Flex selects booleans into another type.
            |padding| padding.int().select(0, indices.clone()).bool(),
        )
    }

    /// Keeps the first `length` positions only.
    pub fn truncate(&self, length: usize) -> Self {
        if length == 0 {
            let cache_type = self
                .layers
                .first()
                .map_or(CacheType::F32, |layer| layer.cache_type);
            return Self::of_type(self.layers.len(), cache_type);
        }
        let length = length.min(self.len());
        let mut cache = self.map(CachedRows::clone, |padding| padding.narrow(1, 0, length));
        for rows in cache
            .layers
            .iter_mut()
            .flat_map(|layer| layer.entry.iter_mut().flatten())
        {
            *rows = Rows::new(rows.buffer.truncate(length));
        }
        cache
    }

    /// Copies the cache, detached from the graph that computed it.
    pub fn detach(&self) -> Self {
        self.map(CachedRows::detach, |padding| padding)
    }

    pub(crate) fn layer(&mut self, index: usize) -> &mut LayerCache<B> {
        &mut self.layers[index]
    }

    pub(crate) fn set_padding(&mut self, padding: Option<Tensor<B, 2, Bool>>) {
        self.padding = padding;
    }

    fn first(&self) -> Option<&Rows<B>> {
        self.layers
            .first()
            .and_then(|layer| layer.entry.as_ref())
            .map(|[key, _]| key)
    }

    /// Applies functions to the tensors and the padding; `tensor` receives buffers with spare
    /// capacity.
    fn map(
        &self,
        change: impl Fn(&CachedRows<B>) -> CachedRows<B>,
        padding: impl Fn(Tensor<B, 2, Bool>) -> Tensor<B, 2, Bool>,
    ) -> Self {
        let rows = |rows: &Rows<B>| Rows {
            buffer: change(&rows.buffer),
            length: rows.length,
        };
        let layer = |layer: &LayerCache<B>| LayerCache {
            entry: layer.entry.as_ref().map(|entry| entry.each_ref().map(rows)),
            cache_type: layer.cache_type,
            spare: layer.spare,
        };
        Self {
            layers: self.layers.iter().map(layer).collect(),
            padding: self.padding.clone().map(padding),
        }
    }
}
