//! Scales and minima of `Q4_K` and `Q5_K`: eight of each, six bits wide, in twelve bytes.

/// Unpacks eight scales and eight minima from twelve bytes.
pub(crate) fn unpack_k_scales(packed: &[u8; 12]) -> [[u8; 8]; 2] {
    let mut scales = [0; 8];
    let mut minima = [0; 8];
    for i in 0..4 {
        let (scale, minimum, high) = (packed[i], packed[4 + i], packed[8 + i]);
        scales[i] = scale & 63;
        minima[i] = minimum & 63;
        scales[4 + i] = high & 15 | (scale >> 6) << 4;
        minima[4 + i] = high >> 4 | (minimum >> 6) << 4;
    }
    [scales, minima]
}

/// Packs scales and minima, all below 64, into twelve bytes.
pub(crate) fn pack_k_scales([scales, minima]: &[[u8; 8]; 2]) -> [u8; 12] {
    let mut packed = [0; 12];
    for i in 0..4 {
        packed[i] = scales[i] & 63 | (scales[4 + i] >> 4) << 6;
        packed[4 + i] = minima[i] & 63 | (minima[4 + i] >> 4) << 6;
        packed[8 + i] = scales[4 + i] & 15 | minima[4 + i] << 4;
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_survive_packing() {
        let packed: [u8; 12] = core::array::from_fn(|i| (i * 83 + 17) as u8);
        assert_eq!(pack_k_scales(&unpack_k_scales(&packed)), packed);
        let scales = [[0, 1, 62, 63, 17, 33, 48, 63], [63, 0, 5, 9, 63, 31, 32, 1]];
        assert_eq!(unpack_k_scales(&pack_k_scales(&scales)), scales);
    }
}
