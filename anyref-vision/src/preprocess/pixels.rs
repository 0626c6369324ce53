//! Normalised pixels on the host.

use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Picture as a tower's input, channels first.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelValues {
    /// `channels * height * width` values.
    pub data: Vec<f32>,
    /// Channels, height, width.
    pub shape: [usize; 3],
}

impl PixelValues {
    /// Converts interleaved RGB bytes to pixels by the values of [`tables`].
    pub(super) fn normalised(bytes: &[u8], [height, width]: [usize; 2], tables: &Tables) -> Self {
        let mut data = Vec::with_capacity(3 * height * width);
        for (channel, table) in tables.iter().enumerate() {
            let values = bytes.iter().skip(channel).step_by(3);
            data.extend(values.map(|&byte| table[byte as usize]));
        }
        Self {
            data,
            shape: [3, height, width],
        }
    }

    /// Copies the values to a device.
    ///
    /// # Shapes
    /// - output: `[channels, height, width]`
    ///
    /// # Panics
    /// When `data` does not have as many values as `shape` requires.
    pub fn to_tensor<B: Backend>(&self, device: &B::Device) -> Tensor<B, 3> {
        Tensor::from_data(TensorData::new(self.data.clone(), self.shape), device)
    }

    /// Stacks several pictures of one shape.
    ///
    /// # Shapes
    /// - output: `[pictures, channels, height, width]`
    ///
    /// # Panics
    /// When there is no picture, their shapes differ, or the number of values does not match the
    /// shape.
    pub fn batch<B: Backend>(pictures: &[Self], device: &B::Device) -> Tensor<B, 4> {
        let first = pictures.first().expect("a batch has at least one picture");
        let [channels, height, width] = first.shape;
        let mut data = Vec::with_capacity(pictures.len() * first.data.len());
        for picture in pictures {
            assert_eq!(
                picture.shape, first.shape,
                "pictures of a batch have one shape"
            );
            data.extend_from_slice(&picture.data);
        }
        let shape = [pictures.len(), channels, height, width];
        Tensor::from_data(TensorData::new(data, shape), device)
    }
}

/// Normalised value of each byte in each channel.
pub(super) type Tables = [[f32; 256]; 3];

/// Computes the normalised values by a function of byte and channel.
pub(super) fn tables(value: impl Fn(f32, usize) -> f32) -> Tables {
    std::array::from_fn(|channel| std::array::from_fn(|byte| value(byte as f32, channel)))
}
