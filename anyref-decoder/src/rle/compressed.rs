//! COCO's string form of run lengths. From the fourth on, each is stored as its difference to the
//! one two before; each number is split into groups of five bits, lowest first, with a sixth bit
//! for "more follow" and the last group's highest bit as its sign; each group is a printable
//! character from '0' on.

use crate::error::{Error, Result};

const FIRST: u8 = b'0';
const MORE: u8 = 0x20;
const SIGN: u8 = 0x10;

/// Maximum groups of a number; differences of run lengths need 7.
const MAX_GROUPS: u32 = 12;

pub(super) fn write(counts: &[u32]) -> String {
    let mut string = String::new();
    for (index, &count) in counts.iter().enumerate() {
        let mut rest = i64::from(count);
        if index > 2 {
            rest -= i64::from(counts[index - 2]);
        }
        loop {
            let group = (rest & 0x1f) as u8;
            rest >>= 5;
            // The number ends when the remaining bits all repeat the group's sign bit.
            let last = rest == if group & SIGN == 0 { 0 } else { -1 };
            let more = if last { 0 } else { MORE };
            string.push(char::from(FIRST + (group | more)));
            if last {
                break;
            }
        }
    }
    string
}

pub(super) fn read(bytes: &[u8]) -> Result<Vec<u32>> {
    let mut counts: Vec<u32> = Vec::new();
    let (mut value, mut groups) = (0_i64, 0);
    for (offset, &byte) in bytes.iter().enumerate() {
        let group = match byte.checked_sub(FIRST) {
            Some(group) if group < 0x40 => group,
            _ => return Err(Error::Character { byte, offset }),
        };
        value |= i64::from(group & 0x1f) << (5 * groups);
        groups += 1;
        let index = counts.len();
        if group & MORE != 0 {
            if groups == MAX_GROUPS {
                return Err(Error::RunLength {
                    index,
                    length: value,
                });
            }
            continue;
        }
        if group & SIGN != 0 {
            value |= -1 << (5 * groups);
        }
        if index > 2 {
            value += i64::from(counts[index - 2]);
        }
        counts.push(u32::try_from(value).map_err(|_| Error::RunLength {
            index,
            length: value,
        })?);
        (value, groups) = (0, 0);
    }
    match groups {
        0 => Ok(counts),
        _ => Err(Error::Truncated),
    }
}
