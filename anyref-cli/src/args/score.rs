//! Options of `anyref score`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub struct ScoreArguments {
    /// The benchmark
    pub benchmark: ScoreBenchmark,
    /// Answers, one JSON object a line: {"id", "text", "masks": [{"size", "counts", "score"}]}
    #[arg(long, value_name = "FILE")]
    pub predictions: PathBuf,
    /// The truth, one JSON object a line: {"id", "size", "masks", "expressions", "category", "fold", "video", "ignore"}
    #[arg(long, value_name = "FILE")]
    pub targets: PathBuf,
    /// Answers of another system: how much better or worse they are
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Drawings for the 95 % intervals and p
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub resamples: usize,
    /// Videos that avs-s4 and avs-ms3 take at a time, which changes their F-score
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
    /// Of descriptions, METEOR with all its stages: the meteor-1.5.jar of PyPI's pycocoevalcap; needs Java
    #[arg(long, value_name = "FILE")]
    pub meteor_jar: Option<PathBuf>,
    /// Of descriptions, SPICE: the spice-1.0.jar of pycocoevalcap, with its parser's models; needs Java
    #[arg(long, value_name = "FILE")]
    pub spice_jar: Option<PathBuf>,
}

/// Benchmarks of predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoreBenchmark {
    /// RefCOCO, RefCOCO+, RefCOCOg, RefCLEF: cIoU, gIoU, mIoU, precision
    Refcoco,
    /// gRefCOCO: cIoU, gIoU, N-acc, T-acc, precision
    Grefcoco,
    /// ReasonSeg: gIoU, cIoU
    Reasonseg,
    /// Expressions of regions: BLEU, ROUGE-L, CIDEr, the exact stage of METEOR; with Java METEOR whole and SPICE
    Captions,
    /// COCO-20i: mIoU of each fold, FB-IoU
    #[value(name = "coco-20i")]
    Coco20i,
    /// PASCAL-5i: mIoU of each fold, FB-IoU
    #[value(name = "pascal-5i")]
    Pascal5i,
    /// AVSBench with one thing that sounds: mIoU, F-score
    AvsS4,
    /// AVSBench with several: mIoU, F-score
    AvsMs3,
}
