//! Four bytes in a word of 32 bits, for backends without eight-bit integers.

use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Int, Tensor};

/// Bytes of a word.
pub(crate) const IN_WORD: usize = 4;

/// Bytes of words, the lowest first, each of `0..=255`.
///
/// # Shapes
/// - words: `[rows, words]`
/// - output: `[rows, words, 4]`
pub(crate) fn bytes_of_words<B: Backend>(words: Tensor<B, 2, Int>) -> Tensor<B, 3, Int> {
    let bytes = (0..IN_WORD).map(|byte| {
        let shifted = words
            .clone()
            .bitwise_right_shift_scalar((8 * byte as i32).elem());
        shifted.bitwise_and_scalar(0xff.elem())
    });
    Tensor::stack(bytes.collect(), 2)
}

/// Words of bytes of `0..=255`, the lowest first.
///
/// # Shapes
/// - bytes: `[rows, words, 4]` in i32
/// - output: `[rows, words]`
pub(crate) fn words_of_bytes<B: Backend>(bytes: Tensor<B, 3, Int>) -> Tensor<B, 2, Int> {
    let [rows, words, _] = bytes.dims();
    let byte = |index: usize| {
        let byte = bytes.clone().narrow(2, index, 1).reshape([rows, words]);
        byte.bitwise_left_shift_scalar((8 * index as i32).elem())
    };
    let pairs = [byte(0).bitwise_or(byte(1)), byte(2).bitwise_or(byte(3))];
    let [low, high] = pairs;
    low.bitwise_or(high)
}
