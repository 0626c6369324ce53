//! Refusal of options that a benchmark does not use.

use anyhow::{Result, bail};
use anyref_eval::Benchmark;

use crate::args::EvalArguments;

/// Refuses options that would be ignored.
pub fn check(arguments: &EvalArguments) -> Result<()> {
    use Benchmark::{Own, Pascal5i, Refclef, Refcoco, RefcocoPlus, Refcocog, Stamps, VisualGenome};
    let benchmark = arguments.benchmark;
    let stamps = benchmark == Stamps;
    let split = !matches!(benchmark, Stamps | Pascal5i | Own | VisualGenome);
    let refer = matches!(benchmark, Refclef | Refcoco | RefcocoPlus | Refcocog);
    let few_shot = benchmark.is_few_shot();
    for (name, given, used) in [
        ("--root", arguments.root.is_some(), !stamps),
        ("--split", arguments.split.is_some(), split),
        ("--split-by", arguments.split_by.is_some(), refer),
        ("--fold", arguments.fold.is_some(), few_shot),
        ("--describe", arguments.describe, !stamps),
        ("--limit (see --n)", arguments.limit.is_some(), !stamps),
        ("--n (see --limit)", arguments.n.is_some(), stamps),
        ("--kind", !arguments.kind.is_empty(), stamps),
        ("--disturb", !arguments.disturb.is_empty(), stamps),
        ("--scene-seed", arguments.scene_seed.is_some(), stamps),
        ("--stamps", arguments.stamps.is_some(), stamps),
        ("--backgrounds", arguments.backgrounds.is_some(), stamps),
        ("--config", arguments.config.is_some(), stamps),
    ] {
        if given && !used {
            bail!("{benchmark} has no use for {name}: leave it out");
        }
    }
    Ok(())
}
