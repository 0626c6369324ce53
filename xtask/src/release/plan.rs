//! Facts of one release.

use std::path::PathBuf;

use super::options::Release;

/// Facts that all parts of a release share.
pub(super) struct Plan<'a> {
    pub(super) options: &'a Release,
    pub(super) root: PathBuf,
    pub(super) version: String,
    /// Target triple of this machine.
    pub(super) target: String,
    /// Folder that artefacts are made in.
    pub(super) out: PathBuf,
}

impl Plan<'_> {
    /// Name of this version on this system: `anyref-1.2.3-x86_64-unknown-linux-gnu`.
    pub(super) fn name(&self) -> String {
        format!("anyref-{}-{}", self.version, self.target)
    }

    /// Feature of the graphics cards of this system.
    pub(super) fn graphics(&self) -> &'static str {
        match std::env::consts::OS {
            "macos" => "metal",
            // DirectX 12 or Vulkan.
            "windows" => "wgpu",
            _ => "vulkan",
        }
    }
}
