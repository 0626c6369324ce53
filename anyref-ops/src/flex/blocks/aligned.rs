//! Memory of repacked weights.

/// Bytes of a cache line.
const CACHE_LINE: usize = 64;
/// Bytes of a huge page of x86 and most Arm systems.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// Zeros that begin with a cache line, as the system gives them: without writing them. On Linux
/// large ones are mapped by themselves and may have huge pages, of which the processor needs fewer
/// addresses and prefetches further: decoding reads each of these bytes once a token.
#[derive(Debug)]
pub(super) enum Aligned {
    /// Bytes with room to begin later.
    Allocated {
        bytes: Vec<u8>,
        start: usize,
        length: usize,
    },
    /// Bytes of a mapping without a file.
    #[cfg(target_os = "linux")]
    Mapped(memmap2::MmapMut),
}

impl Aligned {
    /// Reserves `length` bytes.
    pub(super) fn zeros(length: usize) -> Self {
        #[cfg(target_os = "linux")]
        if length >= HUGE_PAGE
            && let Ok(mapping) = memmap2::MmapMut::map_anon(length)
        {
            // A system without huge pages gives small ones.
            if let Err(error) = mapping.advise(memmap2::Advice::HugePage) {
                log::debug!("no huge pages for weights: {error}");
            }
            return Self::Mapped(mapping);
        }
        let bytes = vec![0u8; length + CACHE_LINE - 1];
        let start = bytes.as_ptr().align_offset(CACHE_LINE);
        Self::Allocated {
            bytes,
            start,
            length,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Allocated {
                bytes,
                start,
                length,
            } => &bytes[*start..][..*length],
            #[cfg(target_os = "linux")]
            Self::Mapped(mapping) => mapping,
        }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Allocated {
                bytes,
                start,
                length,
            } => &mut bytes[*start..][..*length],
            #[cfg(target_os = "linux")]
            Self::Mapped(mapping) => mapping,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_memory_is_zero_aligned_and_writable() {
        for length in [0, 1, 100, 2 << 20, (5 << 20) + 3] {
            let mut memory = Aligned::zeros(length);
            assert_eq!(memory.bytes().len(), length);
            assert!(memory.bytes().iter().all(|&byte| byte == 0));
            assert_eq!(memory.bytes().as_ptr() as usize % CACHE_LINE, 0);
            if let Some(last) = memory.bytes_mut().last_mut() {
                *last = 7;
                assert_eq!(memory.bytes()[length - 1], 7);
            }
        }
    }
}
