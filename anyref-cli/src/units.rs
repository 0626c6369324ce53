//! Counts and sizes in words.

/// Count in millions.
pub fn millions(count: usize) -> String {
    format!("{:.3} M", count as f64 / 1e6)
}

/// Bytes in megabytes.
pub fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
