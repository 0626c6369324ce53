//! 64-bit hash that is stable across machines and compiler versions.

use std::fmt;

use xxhash_rust::xxh3::Xxh3Default;

/// Hash for names and settings on disk: 64-bit XXH3 of a sequence of fields. std's `DefaultHasher`
/// may change between releases of Rust, which would invalidate files on disk.
///
/// Every field is framed, so that `("ab", "c")` and `("a", "bc")` differ. Guards against accidental
/// collisions, not against deliberate ones.
///
/// ```
/// use anyref_weights::StableHash;
/// let hash = StableHash::new().bytes(b"model.safetensors").number(42).finish();
/// assert_eq!(format!("{hash:016x}").len(), 16);
/// ```
#[derive(Clone)]
pub struct StableHash(Xxh3Default);

impl StableHash {
    /// Hash of no fields.
    pub fn new() -> Self {
        Self(Xxh3Default::new())
    }

    /// Adds a field of any length: its length as a number, then its bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number as eight little-endian bytes.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Adds float values: their count as a number, then the four little-endian bytes of each.
    #[must_use]
    pub fn floats(mut self, values: &[f32]) -> Self {
        /// Number of values converted at once.
        const BLOCK: usize = 1024;
        self.0.update(&(values.len() as u64).to_le_bytes());
        let mut bytes = [0; BLOCK * size_of::<f32>()];
        for block in values.chunks(BLOCK) {
            let (slots, _) = bytes.as_chunks_mut();
            for (slot, value) in slots.iter_mut().zip(block) {
                *slot = value.to_le_bytes();
            }
            self.0.update(&bytes[..size_of_val(block)]);
        }
        self
    }

    /// 64-bit hash of all fields so far.
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

impl Default for StableHash {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StableHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StableHash({:016x})", self.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the reference implementation (xxhash for Python). File names contain these hashes:
    /// a change would make existing files useless.
    #[test]
    fn hashes_are_those_of_earlier_builds() {
        let hash = StableHash::new;
        assert_eq!(hash().finish(), 0x2d06_8005_38d3_94c2);
        assert_eq!(hash().number(0).finish(), 0xc77b_3abb_6f87_acd9);
        assert_eq!(hash().bytes("model").finish(), 0x7d62_9fe6_ba9a_e4ff);
        let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
        assert_eq!(
            hash().bytes(&all).number(7).bytes("").finish(),
            0x725c_23b0_526f_24ea
        );
        assert_eq!(
            hash().floats(&[0.5, -1.0, f32::NAN]).finish(),
            0x1b50_7d4c_6825_fb8f
        );
    }

    #[test]
    fn fields_are_framed() {
        let pair = |a: &str, b: &str| StableHash::new().bytes(a).bytes(b).finish();
        assert_ne!(pair("ab", "c"), pair("a", "bc"));
        assert_ne!(pair("", "a"), pair("a", ""));
        assert_ne!(
            StableHash::new().floats(&[]).finish(),
            StableHash::new().finish()
        );
    }

    #[test]
    fn floats_are_hashed_as_their_bytes() {
        for length in [0, 1, 1023, 1024, 1025, 5000] {
            let values: Vec<f32> = (0..length).map(|i| i as f32 * 0.37 - 9.0).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            let mut expected = StableHash::new().number(length as u64);
            expected.0.update(&bytes);
            let found = StableHash::new().floats(&values);
            assert_eq!(found.finish(), expected.finish(), "{length}");
        }
    }
}
