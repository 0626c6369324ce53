//! Keys and values in the type that a cache keeps them in.

mod cache_type;
pub(crate) mod q8_0;

use burn::tensor::backend::Backend;
use burn::tensor::{BasicOps, DType, Int, Tensor};

pub use cache_type::CacheType;
pub use q8_0::Q8_0Rows;

use crate::dispatch::BackendKind;
#[cfg(feature = "flex")]
use crate::flex;
use crate::permute;
use crate::rows::{assign_rows, assign_words};

/// Rows `[batch, heads, length, width]` of keys or values.
#[derive(Debug, Clone)]
pub enum CachedRows<B: Backend> {
    /// Floats, f32 or half.
    Float(Tensor<B, 4>),
    /// Blocks of eight bits a value.
    Q8_0(Q8_0Rows<B>),
}

impl<B: Backend> CachedRows<B> {
    /// Rows in a type. They stay as they are where there are gradients: rounding has none.
    ///
    /// # Panics
    /// When the type does not [hold](CacheType::holds) rows of this width.
    pub fn new(rows: Tensor<B, 4>, cache_type: CacheType) -> Self {
        if cache_type == CacheType::F32 || BackendKind::of::<B>(&rows.device()).has_gradients() {
            return Self::Float(rows);
        }
        match cache_type.half() {
            Some(dtype) => Self::Float(rows.cast(dtype)),
            None => Self::Q8_0(quantized(rows)),
        }
    }

    /// Shape, `[batch, heads, length, width]`.
    pub fn dims(&self) -> [usize; 4] {
        match self {
            Self::Float(rows) => rows.dims(),
            Self::Q8_0(rows) => rows.dims(),
        }
    }

    /// Device of the rows.
    pub fn device(&self) -> B::Device {
        match self {
            Self::Float(rows) => rows.device(),
            Self::Q8_0(rows) => rows.words.device(),
        }
    }

    /// Bytes that the values take.
    pub fn bytes(&self) -> usize {
        fn of<B: Backend, K: BasicOps<B>>(x: &Tensor<B, 4, K>) -> usize {
            x.dims().iter().product::<usize>() * x.dtype().size()
        }
        match self {
            Self::Float(rows) => of(rows),
            Self::Q8_0(rows) => of(&rows.words) + of(&rows.scales),
        }
    }

    /// Values as floats of a type.
    pub fn values(&self, dtype: DType) -> Tensor<B, 4> {
        match self {
            Self::Float(rows) if rows.dtype() == dtype => rows.clone(),
            Self::Float(rows) => rows.clone().cast(dtype),
            Self::Q8_0(rows) => dequantized(rows, dtype),
        }
    }

    /// Keeps the first `length` positions only.
    pub fn truncate(&self, length: usize) -> Self {
        self.map(
            |x| x.narrow(2, 0, length),
            |words| words.narrow(2, 0, length),
        )
    }

    /// Creates `length` positions of zeros, in the same type.
    pub fn zeros(&self, length: usize) -> Self {
        fn of<B: Backend, K: BasicOps<B>>(x: Tensor<B, 4, K>, length: usize) -> Tensor<B, 4, K> {
            let [batch, heads, _, width] = x.dims();
            Tensor::zeros([batch, heads, length, width], (&x.device(), x.dtype()))
        }
        self.map(|x| of(x, length), |words| of(words, length))
    }

    /// Selects rows of the batch in the order of `rows`, each as often as it is listed.
    pub fn select(&self, rows: Tensor<B, 1, Int>) -> Self {
        self.map(
            |x| x.select(0, rows.clone()),
            |words| words.select(0, rows.clone()),
        )
    }

    /// Repeats each row of the batch `times` times in succession.
    pub fn repeat(&self, times: usize) -> Self {
        fn expanded<B: Backend, K: BasicOps<B>>(
            x: Tensor<B, 4, K>,
            times: usize,
        ) -> Tensor<B, 5, K> {
            let [batch, heads, length, width] = x.dims();
            x.unsqueeze_dim::<5>(1)
                .expand([batch, times, heads, length, width])
        }
        let shape =
            |[batch, heads, length, width]: [usize; 4]| [batch * times, heads, length, width];
        self.map(
            |x| {
                let shape = shape(x.dims());
                permute(expanded(x, times), [0, 1, 2, 3, 4]).reshape(shape)
            },
            |words| {
                let shape = shape(words.dims());
                expanded(words, times).reshape(shape)
            },
        )
    }

    /// Rows cut off from the graph that computed them.
    pub fn detach(&self) -> Self {
        self.map(Tensor::detach, |words| words)
    }

    /// Joins parts of one type along dimension `dim`: 0 for rows of the batch, 2 for positions.
    ///
    /// # Panics
    /// When there is no part, or one is of another type.
    pub fn cat(parts: Vec<Self>, dim: usize) -> Self {
        let (mut floats, mut words, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            match part {
                Self::Float(rows) => floats.push(rows),
                Self::Q8_0(rows) => {
                    words.push(rows.words);
                    scales.push(rows.scales);
                }
            }
        }
        assert!(floats.is_empty() || words.is_empty(), "rows of one type");
        match words.is_empty() {
            true => Self::Float(Tensor::cat(floats, dim)),
            false => Self::Q8_0(Q8_0Rows {
                words: Tensor::cat(words, dim),
                scales: Tensor::cat(scales, dim),
            }),
        }
    }

    /// Replaces the rows from position `first` on by `rows`, in place where nothing else holds
    /// them.
    ///
    /// # Panics
    /// When the others reach past the end, or are of another type.
    pub fn assign(self, first: usize, rows: Self) -> Self {
        match (self, rows) {
            (Self::Float(buffer), Self::Float(rows)) => {
                Self::Float(assign_rows(buffer, first, rows))
            }
            (Self::Q8_0(buffer), Self::Q8_0(rows)) => Self::Q8_0(Q8_0Rows {
                words: assign_words(buffer.words, first, rows.words),
                scales: assign_rows(buffer.scales, first, rows.scales),
            }),
            _ => panic!("rows of one type"),
        }
    }

    /// A change of every tensor: of floats, and of words.
    fn map(
        &self,
        float: impl Fn(Tensor<B, 4>) -> Tensor<B, 4>,
        words: impl Fn(Tensor<B, 4, Int>) -> Tensor<B, 4, Int>,
    ) -> Self {
        match self {
            Self::Float(rows) => Self::Float(float(rows.clone())),
            Self::Q8_0(rows) => Self::Q8_0(Q8_0Rows {
                words: words(rows.words.clone()),
                scales: float(rows.scales.clone()),
            }),
        }
    }
}

fn quantized<B: Backend>(rows: Tensor<B, 4>) -> Q8_0Rows<B> {
    let width = rows.dims()[3];
    assert!(CacheType::Q8_0.holds(width), "rows of whole blocks");
    #[cfg(feature = "flex")]
    let rows = match flex::quantize_rows(rows) {
        Ok(quantized) => return quantized,
        Err(rows) => rows,
    };
    Q8_0Rows::quantize(rows)
}

fn dequantized<B: Backend>(rows: &Q8_0Rows<B>, dtype: DType) -> Tensor<B, 4> {
    #[cfg(feature = "flex")]
    if let Some(values) = flex::dequantize_rows(rows) {
        return values.cast(dtype);
    }
    rows.values(dtype)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
