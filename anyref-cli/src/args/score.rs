//! Options of `anyref score`.

use std::path::PathBuf;

use anyref_eval::Benchmark;
use clap::Args;

use super::benchmark;

#[derive(Debug, Args)]
pub struct ScoreArguments {
    /// Rules to score by
    #[arg(value_parser = benchmark::scored())]
    pub benchmark: Benchmark,
    /// Predictions, one JSON object a line: {"id", "text", "masks": [{"size", "counts", "score"}]}
    #[arg(long, value_name = "FILE")]
    pub predictions: PathBuf,
    /// Ground truth, one JSON object a line: {"id", "size", "masks", "expressions", "category",
    /// "fold", "video", "ignore"}
    #[arg(long, value_name = "FILE")]
    pub targets: PathBuf,
    /// Predictions of another system to compare with
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Number of resamples for the 95 % intervals and p
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub resamples: usize,
    /// Videos in a batch of avs-s4 and avs-ms3, which affects their F-score
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub videos: usize,
    #[command(flatten)]
    pub programs: CaptionPrograms,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Java programs that score descriptions.
#[derive(Debug, Args)]
pub struct CaptionPrograms {
    /// Score descriptions by METEOR with all its stages: the meteor-1.5.jar of PyPI's
    /// pycocoevalcap; needs Java
    #[arg(long, value_name = "FILE")]
    pub meteor_jar: Option<PathBuf>,
    /// Score descriptions by SPICE: the spice-1.0.jar of pycocoevalcap, with its parser's models;
    /// needs Java
    #[arg(long, value_name = "FILE")]
    pub spice_jar: Option<PathBuf>,
}
