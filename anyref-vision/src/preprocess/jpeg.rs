//! Detection of truncated JPEG files.

/// Returns whether a JPEG's coded data ends in an end-of-image marker. The decoder silently fills
/// missing rows with grey, so that a truncated download would become a half-grey picture.
pub(super) fn is_complete(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    const END_OF_IMAGE: u8 = 0xD9;
    let mut position = 2;
    let mut in_scan = false;
    while let Some(rest) = bytes.get(position..) {
        let Some(offset) = rest.iter().position(|&byte| byte == 0xFF) else {
            return false;
        };
        let Some(&marker) = rest.get(offset + 1) else {
            return false;
        };
        position += offset + 2;
        match marker {
            // Fill bytes before a marker.
            0xFF => position -= 1,
            // Escaped byte, restart marker, or marker without content.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            END_OF_IMAGE => return in_scan,
            _ => {
                let Some(&[high, low]) = bytes.get(position..position + 2) else {
                    return false;
                };
                position += usize::from(u16::from_be_bytes([high, low])).max(2);
                in_scan |= marker == START_OF_SCAN;
            }
        }
    }
    false
}
