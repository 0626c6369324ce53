//! Options of `anyref eval`.

use std::path::{Path, PathBuf};

use anyref_eval::Benchmark;
use clap::Args;

use super::benchmark;
use super::score::CaptionPrograms;

#[derive(Debug, Args)]
pub struct EvalArguments {
    /// The benchmark
    #[arg(value_parser = benchmark::asked())]
    pub benchmark: Benchmark,
    /// Folder of the published data set, laid out as it is published (RefCOCO and its kin as the
    /// REFER API has them); of your own data the file
    #[arg(long, value_name = "PATH")]
    pub root: Option<PathBuf>,
    /// Part of the published data set [default: val; of COCO-20i val2014]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Fold of COCO-20i and PASCAL-5i, 0 to 3 [default: 0]
    #[arg(long, value_name = "N")]
    pub fold: Option<usize>,
    /// Who split it: unc, umd, google, berkeley [default: unc; of RefCOCOg umd]
    #[arg(long, value_name = "NAME")]
    pub split_by: Option<String>,
    /// Describe boxes instead of segmenting what is described
    #[arg(long)]
    pub describe: bool,
    /// Of a published data set ask about so many items at most, the first whose files are all there
    /// [default: all, and all files have to be there]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Questions answered at a time: more are faster and take more memory; answers stay the same.
    /// Where a model tries several candidates, questions are asked one by one
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch: usize,
    /// Of stamps only these kinds: text, box, image, novel, audio, mixed, absent [default: all]
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
    /// Of stamps, make pictures or sounds worse: blur, noise, jpeg, dark, bright, small, sound-20,
    /// sound-10, sound-0, or all; several give a table beside the undisturbed
    #[arg(long, value_name = "NAME")]
    pub disturb: Vec<String>,
    /// Of stamps, the seed of the scenes: another one gives scenes that nothing was ever chosen by
    /// [default: the configuration's]
    #[arg(long, value_name = "N")]
    pub scene_seed: Option<u64>,
    /// Of stamps so many questions a kind [default: 500]
    #[arg(long, value_name = "N")]
    pub n: Option<usize>,
    #[command(flatten)]
    pub programs: CaptionPrograms,
    /// Folder for predictions, table and pictures of the worst cases; given again, an evaluation
    /// goes on there [default: anyref-eval/BENCHMARK]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Of stamps, unpacked tuxpaint-stamps-default, as `cargo xtask data stamps` leaves it
    /// [default: data/stamps]
    #[arg(long, value_name = "DIR")]
    pub stamps: Option<PathBuf>,
    /// Of stamps, unpacked tuxpaint-data [default: data/backgrounds, if it is there]
    #[arg(long, value_name = "DIR")]
    pub backgrounds: Option<PathBuf>,
    /// Of stamps, the training configuration (a file or hf://org/name/file) whose scenes and
    /// questions are used [default: the built-in model's]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl EvalArguments {
    /// The folder of [`out`](Self::out).
    pub fn folder(&self) -> PathBuf {
        let usual = || Path::new("anyref-eval").join(self.benchmark.to_string());
        self.out.clone().unwrap_or_else(usual)
    }
}
