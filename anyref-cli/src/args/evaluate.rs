//! Options of `anyref eval`.

use std::path::{Path, PathBuf};

use anyref_eval::Benchmark;
use clap::Args;

use super::benchmark;
use super::score::CaptionPrograms;

#[derive(Debug, Args)]
pub struct EvalArguments {
    /// Benchmark to evaluate on
    #[arg(value_parser = benchmark::asked())]
    pub benchmark: Benchmark,
    /// Folder of the published data set in its published layout (RefCOCO and its kin in the REFER
    /// API's); for `own` the file
    #[arg(long, value_name = "PATH")]
    pub root: Option<PathBuf>,
    /// Split of the published data set [default: val; for COCO-20i val2014]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Fold of COCO-20i and PASCAL-5i, 0 to 3 [default: 0]
    #[arg(long, value_name = "N")]
    pub fold: Option<usize>,
    /// Author of the split: unc, umd, google, berkeley [default: unc; for RefCOCOg umd]
    #[arg(long, value_name = "NAME")]
    pub split_by: Option<String>,
    /// Describe boxes instead of segmenting expressions
    #[arg(long)]
    pub describe: bool,
    /// Evaluate at most N items of a published data set, skipping those with missing files
    /// [default: all; a missing file is an error]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Questions in a batch: more are faster and take more memory; answers stay the same. Models
    /// that rerank several candidates are asked one question at a time
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch: usize,
    /// Evaluate only these kinds of stamps: text, box, image, novel, audio, mixed, absent [default:
    /// all]
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
    /// Disturb the pictures or sounds of stamps: blur, noise, jpeg, dark, bright, small, sound-20,
    /// sound-10, sound-0, or all; several give a table with the undisturbed scores
    #[arg(long, value_name = "NAME")]
    pub disturb: Vec<String>,
    /// Seed of the stamps' scenes: another one gives scenes that no choice was based on [default:
    /// the configuration's]
    #[arg(long, value_name = "N")]
    pub scene_seed: Option<u64>,
    /// Number of stamps' questions a kind [default: 500]
    #[arg(long, value_name = "N")]
    pub n: Option<usize>,
    #[command(flatten)]
    pub programs: CaptionPrograms,
    /// Folder for predictions, table and pictures of the best and worst cases; an evaluation begun
    /// there is resumed [default: anyref-eval/BENCHMARK]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder of stamps: unpacked tuxpaint-stamps-default, as left by `cargo xtask data stamps`
    /// [default: data/stamps]
    #[arg(long, value_name = "DIR")]
    pub stamps: Option<PathBuf>,
    /// Folder of the stamps' backgrounds: unpacked tuxpaint-data [default: data/backgrounds, if it
    /// exists]
    #[arg(long, value_name = "DIR")]
    pub backgrounds: Option<PathBuf>,
    /// Training configuration (a file or hf://org/name/file) with the scenes and questions of
    /// stamps [default: the built-in model's]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl EvalArguments {
    /// Folder given by [`out`](Self::out), or its default.
    pub fn folder(&self) -> PathBuf {
        let usual = || Path::new("anyref-eval").join(self.benchmark.to_string());
        self.out.clone().unwrap_or_else(usual)
    }
}
