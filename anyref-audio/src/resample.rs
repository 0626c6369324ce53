//! Sample rate conversion by synchronous FFT resampling.

use rubato::{FftFixedInOut, Resampler};

use crate::error::{Error, Result};

/// Supported rates in Hz; the transform's length grows with the ratio of the rates.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Samples of a block at the lower of the two rates; a longer filter has a steeper edge.
const BLOCK: usize = 1024;

/// Converts `samples` between two rates. The filter's delay is removed, and the length is `len * to
/// / from`, rounded up.
pub(crate) fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    check_rate(from)?;
    check_rate(to)?;
    if from == to || samples.is_empty() {
        return Ok(samples.to_vec());
    }
    // A transform of odd length has its delay between two samples; an even multiple of the smallest
    // block for both rates avoids that.
    let smallest = (from / gcd(from, to)) as usize;
    let wanted = BLOCK * from.div_ceil(to) as usize;
    let chunk = smallest * wanted.div_ceil(smallest).next_multiple_of(2);
    let mut resampler = FftFixedInOut::<f32>::new(from as usize, to as usize, chunk, 1)
        .expect("rates are positive");
    let length = (samples.len() as u64 * u64::from(to)).div_ceil(u64::from(from)) as usize;
    let delay = resampler.output_delay();
    let mut input = resampler.input_buffer_allocate(true);
    let mut output = resampler.output_buffer_allocate(true);
    let mut resampled = Vec::with_capacity(delay + length + output[0].len());
    let mut position = 0;
    // The sound is padded with zeros until the filter has returned its last sample.
    while resampled.len() < delay + length {
        let size = resampler.input_frames_next();
        let end = samples.len().min(position + size);
        let block = samples.get(position..end).unwrap_or_default();
        input[0][..block.len()].copy_from_slice(block);
        input[0][block.len()..].fill(0.0);
        position = end.max(position + size);
        let (_, written) = resampler
            .process_into_buffer(&input, &mut output, None)
            .expect("buffers were allocated by the resampler");
        resampled.extend_from_slice(&output[0][..written]);
    }
    resampled.drain(..delay);
    resampled.truncate(length);
    Ok(resampled)
}

/// Rejects an unsupported rate.
pub(crate) fn check_rate(sample_rate: u32) -> Result<()> {
    match RATES.contains(&sample_rate) {
        true => Ok(()),
        false => Err(Error::SampleRate { sample_rate }),
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
