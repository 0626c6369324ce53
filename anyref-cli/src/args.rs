//! The command line.

mod answer;
pub mod benchmark;
mod evaluate;
mod masks;
mod model;
mod points;
mod references;
mod score;
#[cfg(feature = "serve")]
mod serve;
mod shell;
mod sounds;
#[cfg(feature = "train")]
pub mod train;

use std::path::PathBuf;

use anyref_core::quantization::{BlockType, written_block_type};
use anyref_core::{BackendName, Template};
use anyref_weights::WeightType;
use clap::{Args, Parser, Subcommand};

pub use answer::{
    ChatArguments, DemoArguments, DescribeArguments, OutputArguments, SegmentArguments,
};
pub use evaluate::EvalArguments;
pub use masks::MasksArguments;
pub use model::{AssembleArguments, InfoArguments, ModelsArguments};
pub use points::PointArguments;
pub use references::ReferenceArgument;
pub use score::{CaptionPrograms, ScoreArguments};
#[cfg(feature = "serve")]
pub use serve::ServeArguments;
pub use shell::{CompletionsArguments, ManualArguments};
pub use sounds::SoundsArguments;

/// Point at things in pictures by text, box, picture or sound; get a sentence and masks.
#[derive(Debug, Parser)]
#[command(name = "anyref", version, about)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Model folder, also of a LISA as published, a SAM by itself (the authors' .pth or a
    /// transformers folder), a .json file that names published parts, or hf://org/name [default:
    /// the built-in nano]
    #[arg(long, global = true, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// CLIP's folder: the picture encoder of a model that leaves it to another repository, as LISA
    /// does [default: the one that its config names, fetched]; the vocabulary of `sounds`; a part of
    /// `assemble`
    #[arg(long, global = true, value_name = "DIR")]
    pub clip: Option<PathBuf>,
    /// imagebind_huge.pth, which puts sounds into words for a model that was not trained with them,
    /// as LISA; or the ears of `assemble`. Its licence is for non-commercial use
    #[arg(long, global = true, value_name = "FILE")]
    pub imagebind: Option<PathBuf>,
    /// Labels that sounds are told apart by, one a line [default: AudioSet's 527]
    #[arg(long, global = true, value_name = "FILE")]
    pub sound_labels: Option<PathBuf>,
    /// Ask for all labels of a sound that are at least this likely, 0 to 1 [default: 0.1]; least
    /// probability of labels that `sounds` shows [default: 0]
    #[arg(long, global = true, value_name = "P", allow_negative_numbers = true)]
    pub sound_threshold: Option<f32>,
    /// Keep all masks for a reference picture, the most similar first, where the model was not
    /// trained with pictures
    #[arg(long, global = true)]
    pub all: bool,
    /// Conversation template that the model was trained with: llava_v1, or llava_llama_2 [default:
    /// the model's own]
    #[arg(long, global = true, value_name = "NAME", value_parser = template)]
    pub conv_type: Option<Template>,
    /// Backend: flex (the processor), wgpu, vulkan, metal, webgpu or cuda, as far as compiled
    /// in
    #[arg(long, global = true, default_value_t)]
    pub backend: BackendName,
    /// Number of the device, see `anyref info --devices` [default: the backend's own choice]
    #[arg(long, global = true, value_name = "N")]
    pub device: Option<usize>,
    /// Type of the weights, in memory and by `assemble` in its files: f32, f16, bf16, or auto:
    /// their own type on the processor and in files, f32 on GPUs
    #[arg(long, global = true, default_value_t, value_name = "TYPE")]
    pub dtype: WeightType,
    /// Round the language model's projections to blocks of fewer bits as they are read, or by
    /// `assemble` in its files: q8_0, q4_0 or q4_k; rows of no whole blocks stay q8_0 or floats
    #[arg(long, global = true, value_name = "TYPE", value_parser = written_block_type)]
    pub quantize: Option<BlockType>,
    /// Load a large model although it is reckoned to need more memory than is free (`anyref info`
    /// shows what it needs)
    #[arg(long, global = true)]
    pub ignore_memory: bool,
    /// Seed of sampled answers, of the drawings of `score` and `eval`, with the examples of
    /// coco-20i and pascal-5i, and of the untrained weights of `assemble`
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Above 0, answers are sampled; 0 takes the likeliest word always
    #[arg(
        long,
        global = true,
        default_value_t = 0.0,
        value_name = "T",
        allow_negative_numbers = true
    )]
    pub temperature: f64,
    /// Longest answer in tokens [default: the model's]
    #[arg(long, global = true, value_name = "N")]
    pub max_new_tokens: Option<usize>,
    /// Leave masks out whose IoU the model estimates lower, 0 to 1; 0 shows all [default: the
    /// model's]
    #[arg(long, global = true, value_name = "IOU", allow_negative_numbers = true)]
    pub min_score: Option<f32>,
    /// Try so many of the likeliest answers and give the one that points best; 1 gives the
    /// likeliest [default: the model's]
    #[arg(long, global = true, value_name = "N")]
    pub candidates: Option<usize>,
    /// Say on stderr where the time goes, and what is worth knowing on the way; RUST_LOG chooses
    /// the messages in its place
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the model does, on bundled pictures: text, box, picture, sound, mixture
    Demo(DemoArguments),
    /// Masks of what the references mean
    Segment(SegmentArguments),
    /// Every mask of a picture, by SAM and a grid of points
    Masks(MasksArguments),
    /// Words for what is in a box
    Describe(DescribeArguments),
    /// Several turns about one picture; references come in by /box, /image and /audio
    Chat(ChatArguments),
    /// A page to point with the mouse, and an API, on this machine
    #[cfg(feature = "serve")]
    Serve(ServeArguments),
    /// Accuracy on a benchmark; run it again to go on
    Eval(EvalArguments),
    /// Score predictions of any system, with intervals, and compare two systems
    Score(ScoreArguments),
    /// Names for sounds, by ImageBind and a list of labels
    Sounds(SoundsArguments),
    /// One model folder out of published CLIP, SAM, ImageBind and LLaMA or LLaVA weights
    Assemble(AssembleArguments),
    /// Models that are known to work: place, size, memory, references, licence, what was checked
    Models(ModelsArguments),
    /// The model's parts, types and memory; or the tensors of any checkpoint; or the backends
    Info(InfoArguments),
    /// A script with which a shell completes this command line, on stdout
    Completions(CompletionsArguments),
    /// Pages of the system's manual, one for each command
    #[command(hide = true)]
    Manual(ManualArguments),
    #[cfg(feature = "train")]
    #[command(flatten)]
    Training(train::TrainCommand),
}

/// Reads the name of a conversation template.
fn template(name: &str) -> Result<Template, String> {
    let known = || format!("known are {}", Template::NAMES.join(" and "));
    Template::named(name).ok_or_else(known)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
