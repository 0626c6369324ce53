//! The page for a browser alone, as an archive.

use anyhow::Result;

use super::artefact::Artefact;
use super::folder;
use super::plan::Plan;
use crate::web::{Web, run};

/// Folder that `cargo xtask web` writes by default.
const FOLDER: &str = "out/web";

/// Builds the page and packs it; a dry run tells of a folder that was built earlier.
pub fn make(plan: &Plan<'_>) -> Result<Artefact> {
    let name = format!("anyref-web-{}", plan.version);
    let archive = format!("{name}.tar.gz");
    if plan.options.dry_run {
        let earlier = plan.root.join(FOLDER);
        let about = match earlier.is_dir() {
            true => {
                let megabytes = folder::bytes(&earlier)? as f64 / 1e6;
                format!("of {FOLDER}, {megabytes:.1} MB before it is packed")
            }
            false => "by cargo xtask web".to_owned(),
        };
        return Ok(Artefact::planned(archive, about));
    }
    let scratch = tempfile::tempdir()?;
    let page = scratch.path().join(&name);
    run(&Web {
        out: page.clone(),
        debian: plan.options.debian,
        webgpu: false,
        names: false,
        kernels: None,
    })?;
    let path = plan.out.join(&archive);
    folder::pack(&page, &path)?;
    Artefact::made(&path, "the page with nano inside, for any web server")
}
