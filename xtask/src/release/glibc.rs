//! Glibc that a program of Linux needs: the newest version of glibc's symbols that it names.

use anyhow::{Context, Result};
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::FileHeader;

/// Names of versions begin so.
const PREFIX: &str = "GLIBC_";

/// The newest version as its numbers, `[2, 34]`; none of a program without glibc.
pub fn needed(program: &[u8]) -> Result<Option<Vec<u32>>> {
    let header = FileHeader64::<Endianness>::parse(program).context("no program of Linux")?;
    let endian = header.endian()?;
    let sections = header.sections(endian, program)?;
    let Some((needs, names)) = sections.gnu_verneed(endian, program)? else {
        return Ok(None);
    };
    let names = sections.strings(endian, program, names)?;
    let mut newest = None;
    for library in needs {
        let (_, versions) = library?;
        for version in versions {
            let name = version?.name(endian, names)?;
            newest = newest.max(numbers(&String::from_utf8_lossy(name)));
        }
    }
    Ok(newest)
}

/// A version as people write it.
pub fn shown(version: &[u32]) -> String {
    let numbers: Vec<String> = version.iter().map(u32::to_string).collect();
    numbers.join(".")
}

/// Numbers of `GLIBC_2.2.5`; none of other names, `GLIBC_PRIVATE` among them.
fn numbers(name: &str) -> Option<Vec<u32>> {
    let version = name.strip_prefix(PREFIX)?;
    version
        .split('.')
        .map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_numbers() {
        assert_eq!(numbers("GLIBC_2.2.5"), Some(vec![2, 2, 5]));
        assert_eq!(numbers("GLIBC_PRIVATE"), None);
        assert_eq!(numbers("GCC_3.0"), None);
        assert!(numbers("GLIBC_2.34") > numbers("GLIBC_2.4"));
        assert_eq!(shown(&[2, 34]), "2.34");
        assert!(needed(b"#!/bin/sh\n").is_err());
    }

    /// The test itself is a program of Rust, whose standard library needs 2.17 at least.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    #[test]
    fn a_program_tells_its_glibc() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let version = needed(&program).unwrap().unwrap();
        assert!(version >= vec![2, 17] && version < vec![3], "{version:?}");
    }
}
