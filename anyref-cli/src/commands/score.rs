//! `anyref score`: predictions of any system, scored by the rules of a benchmark.

use anyhow::{Result, bail};
use anyref_eval::metrics::caption::Programs;
use anyref_eval::{Benchmark, ScoreOptions, score_files};

use crate::args::{CaptionPrograms, Common, ScoreArguments};
use crate::output::say;

/// Prints the scores, and the comparison with other predictions.
pub fn run(common: &Common, arguments: &ScoreArguments) -> Result<()> {
    for (name, number) in [
        ("--resamples", arguments.resamples),
        ("--videos", arguments.videos),
    ] {
        if number == 0 {
            bail!("{name} is 0: give at least 1");
        }
    }
    let captions = arguments.benchmark == Benchmark::Captions;
    let options = ScoreOptions {
        programs: programs(&arguments.programs, captions)?,
        resamples: arguments.resamples,
        seed: common.seed,
        videos: arguments.videos,
    };
    let table = score_files(
        arguments.benchmark,
        &arguments.targets,
        &arguments.predictions,
        arguments.against.as_deref(),
        &options,
    )?;
    match arguments.json {
        true => say(&serde_json::to_string(&table)?),
        false => say(table.markdown().trim_end()),
    }
}

/// Programs that score descriptions; an error if there are no `captions` to score.
pub(super) fn programs(arguments: &CaptionPrograms, captions: bool) -> Result<Programs> {
    let given = [
        ("--meteor-jar", &arguments.meteor_jar),
        ("--spice-jar", &arguments.spice_jar),
    ];
    if let Some((name, _)) = given.iter().find(|(_, jar)| jar.is_some() && !captions) {
        bail!("{name} scores descriptions, of which there are none here: leave it out");
    }
    Ok(Programs {
        meteor: arguments.meteor_jar.clone(),
        spice: arguments.spice_jar.clone(),
    })
}
