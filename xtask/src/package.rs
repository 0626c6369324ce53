//! Debian packages without root: `apt-get download`, then `dpkg -x` or unpacking by hand.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// First bytes of an `ar` archive.
const MAGIC: &[u8] = b"!<arch>\n";
/// Length of an `ar` member header.
const HEADER: usize = 60;

/// Downloads a package and unpacks it into `scratch/NAME`, whose path is returned.
pub fn unpack(name: &str, scratch: &Path) -> Result<PathBuf> {
    let downloads = scratch.join(format!("{name}.download"));
    fs::create_dir_all(&downloads)?;
    println!("fetching {name} ...");
    let fetched = Command::new("apt-get")
        .args(["download", name])
        .current_dir(&downloads)
        .output();
    let fetched = fetched.with_context(|| {
        format!("apt-get is not there; unpack {name} yourself and pass its folder")
    })?;
    ensure!(
        fetched.status.success(),
        "apt-get download {name} failed (is the package list fresh? `apt-get update`): {}",
        String::from_utf8_lossy(&fetched.stderr).trim()
    );
    let archive = fs::read_dir(&downloads)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .with_context(|| format!("apt-get download {name} left no .deb file"))?;
    let out = scratch.join(name);
    fs::create_dir_all(&out)?;
    match Command::new("dpkg")
        .arg("-x")
        .arg(&archive)
        .arg(&out)
        .status()
    {
        Ok(status) => ensure!(status.success(), "dpkg -x {} failed", archive.display()),
        Err(_) => unpack_by_hand(&fs::read(&archive)?, &out)
            .with_context(|| format!("cannot unpack {}", archive.display()))?,
    }
    Ok(out)
}

/// Pipes the data member of a package to `tar`.
fn unpack_by_hand(archive: &[u8], out: &Path) -> Result<()> {
    let (name, data) = data_member(archive)?;
    let filter = match name.rsplit('.').next() {
        Some("xz") => "--xz",
        Some("zst") => "--zstd",
        Some("gz") => "--gzip",
        _ => bail!("{name}: unknown compression"),
    };
    let mut tar = Command::new("tar")
        .args(["-x", filter, "-C"])
        .arg(out)
        .stdin(Stdio::piped())
        .spawn()
        .context("neither dpkg nor tar is there")?;
    // The pipe closes when the temporary is dropped, which ends tar.
    tar.stdin
        .take()
        .context("tar takes no input")?
        .write_all(data)?;
    ensure!(tar.wait()?.success(), "tar failed");
    Ok(())
}

/// Finds `data.tar.*` in an `ar` archive.
fn data_member(archive: &[u8]) -> Result<(String, &[u8])> {
    ensure!(archive.starts_with(MAGIC), "not a Debian package");
    let mut at = MAGIC.len();
    while let Some(header) = archive.get(at..at + HEADER) {
        let name = String::from_utf8_lossy(&header[..16])
            .trim_end_matches([' ', '/'])
            .to_owned();
        let size: usize = String::from_utf8_lossy(&header[48..58])
            .trim()
            .parse()
            .context("damaged archive header")?;
        let start = at + HEADER;
        if name.starts_with("data.tar") {
            let data = archive
                .get(start..start + size)
                .context("truncated package")?;
            return Ok((name, data));
        }
        // Members start at even offsets.
        at = start + size + size % 2;
    }
    bail!("no data.tar in the package")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, content: &[u8]) -> Vec<u8> {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            644,
            content.len()
        );
        let mut bytes = header.into_bytes();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        bytes
    }

    #[test]
    fn finds_the_data_behind_members_of_odd_length() {
        let mut archive = MAGIC.to_vec();
        archive.extend(member("debian-binary", b"2.0"));
        archive.extend(member("data.tar.xz", b"content"));
        let (name, data) = data_member(&archive).unwrap();
        assert_eq!((name.as_str(), data), ("data.tar.xz", &b"content"[..]));
    }

    #[test]
    fn refuses_other_files_and_truncated_ones() {
        assert!(data_member(b"PK\x03\x04").is_err());
        let mut archive = MAGIC.to_vec();
        archive.extend(member("data.tar.xz", b"content"));
        archive.truncate(archive.len() - 4);
        assert!(data_member(&archive).is_err());
    }
}
