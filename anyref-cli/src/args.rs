//! Command line of the program.

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

use std::path::{Path, PathBuf};

use anyref_core::quantization::{BlockType, written_block_type};
use anyref_core::{BackendName, CacheType, EncoderFormat, Template};
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
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Model folder, also of a LISA as published, a SAM by itself (the authors' .pth or a
    /// transformers folder), a .json file that names published parts, or hf://org/name [default:
    /// the built-in nano]; `serve` takes several, also as NAME=DIR|FILE
    #[arg(long = "model", global = true, value_name = "DIR|FILE")]
    pub models: Vec<PathBuf>,
    /// CLIP's folder: the picture encoder of a model that leaves it to another repository, as LISA
    /// does [default: the one that its config names, downloaded]; the vocabulary of `sounds`; a
    /// part of `assemble`
    #[arg(long, global = true, value_name = "DIR")]
    pub clip: Option<PathBuf>,
    /// imagebind_huge.pth, which turns sounds into words for a model not trained with sounds, such
    /// as LISA; or the audio encoder of `assemble`. Its licence is for non-commercial use
    #[arg(long, global = true, value_name = "FILE")]
    pub imagebind: Option<PathBuf>,
    /// Labels for sounds, one a line [default: AudioSet's 527]
    #[arg(long, global = true, value_name = "FILE")]
    pub sound_labels: Option<PathBuf>,
    /// Ask for all labels of a sound with at least this probability, 0 to 1 [default: 0.1];
    /// smallest probability of labels that `sounds` shows [default: 0]
    #[arg(long, global = true, value_name = "P", allow_negative_numbers = true)]
    pub sound_threshold: Option<f32>,
    /// Keep all masks for a reference picture, the most similar first, if the model was not trained
    /// with pictures
    #[arg(long, global = true)]
    pub all: bool,
    /// Conversation template that the model was trained with: llava_v1, llava_llama_2, qwen_chat,
    /// internlm2_chat or phi3_chat [default: the model's own]
    #[arg(long, global = true, value_name = "NAME", value_parser = template)]
    pub conv_type: Option<Template>,
    /// Cut a picture into so many tiles at most, for a model that reads tiles, as Sa2VA: fewer are
    /// faster and show less detail [default: the model's]
    #[arg(long, global = true, value_name = "N")]
    pub tiles: Option<usize>,
    /// Backend: flex (the CPU), wgpu, vulkan, metal, webgpu or cuda, if compiled in
    #[arg(long, global = true, default_value_t)]
    pub backend: BackendName,
    /// Number of the device, see `anyref info --devices` [default: the backend's own choice]
    #[arg(long, global = true, value_name = "N")]
    pub device: Option<usize>,
    /// Data type of the weights, in memory and in the files of `assemble`: f32, f16, bf16, or auto:
    /// their own type on the CPU and in files, f32 on GPUs
    #[arg(long, global = true, default_value_t, value_name = "TYPE")]
    pub dtype: WeightType,
    /// Quantise the language model's projections to q8_0, q4_0 or q4_k when they are loaded, or in
    /// the files of `assemble`; rows that do not divide into blocks stay q8_0 or floats
    #[arg(long, global = true, value_name = "TYPE", value_parser = written_block_type)]
    pub quantize: Option<BlockType>,
    /// Give some of the language model's weights another format than --quantize: a regular
    /// expression on names, such as layers.0., mlp.down_proj, lm_head or embed_tokens, and q8_0,
    /// q4_0, q4_k or float; of several that match the last one counts
    #[arg(long, global = true, value_name = "PATTERN=TYPE")]
    pub quantize_rule: Vec<String>,
    /// Round the matrices of the picture encoders' layers to blocks as they are read, or in the
    /// files of `assemble`: q8_0, q4_0 or q4_k; or, as they are read, to int8, which is faster and
    /// less accurate. For half precision use --dtype
    #[arg(long, global = true, value_name = "TYPE")]
    pub quantize_vision: Option<EncoderFormat>,
    /// Round the matrices of ImageBind's layers in the same way
    #[arg(long, global = true, value_name = "TYPE")]
    pub quantize_audio: Option<EncoderFormat>,
    /// Type that keys and values of what the language model has read are kept in: f32 (as they are
    /// computed), f16, bf16 or q8_0
    #[arg(long, global = true, default_value_t, value_name = "TYPE")]
    pub kv_cache: CacheType,
    /// Load a large model even if its estimated memory exceeds the free memory (see `anyref info`)
    #[arg(long, global = true)]
    pub ignore_memory: bool,
    /// Seed of sampled answers, of the resampling of `score` and `eval`, of the examples of
    /// coco-20i and pascal-5i, and of the untrained weights of `assemble`
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Sampling temperature; 0 decodes greedily
    #[arg(
        long,
        global = true,
        default_value_t = 0.0,
        value_name = "T",
        allow_negative_numbers = true
    )]
    pub temperature: f64,
    /// Largest number of tokens in an answer [default: the model's]
    #[arg(long, global = true, value_name = "N")]
    pub max_new_tokens: Option<usize>,
    /// Leave out masks with a lower estimated IoU, 0 to 1; 0 shows all [default: the model's]
    #[arg(long, global = true, value_name = "IOU", allow_negative_numbers = true)]
    pub min_score: Option<f32>,
    /// Rerank the N likeliest answers by their masks; 1 gives the likeliest answer [default: the
    /// model's]
    #[arg(long, global = true, value_name = "N")]
    pub candidates: Option<usize>,
    /// Show timing and informational messages on stderr; RUST_LOG overrides the selection of
    /// messages
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

impl Common {
    /// Model of the command, the first one of several; none for the built-in one.
    pub fn model(&self) -> Option<&Path> {
        self.models.first().map(PathBuf::as_path)
    }

    /// Options with another model, or the built-in one.
    #[cfg(feature = "serve")]
    pub fn with_model(&self, model: Option<PathBuf>) -> Self {
        Self {
            models: model.into_iter().collect(),
            ..self.clone()
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Demonstrate the model on bundled pictures: text, box, picture, sound, mixture
    Demo(DemoArguments),
    /// Segment the objects that the references mean
    Segment(SegmentArguments),
    /// Find every mask of a picture, by SAM and a grid of points
    Masks(MasksArguments),
    /// Describe the content of a box in words
    Describe(DescribeArguments),
    /// Chat about one picture in several turns; /box, /image and /audio add references
    Chat(ChatArguments),
    /// Serve a page to point with the mouse, and an API, on this machine
    #[cfg(feature = "serve")]
    Serve(ServeArguments),
    /// Evaluate the model on a benchmark; run it again to resume
    Eval(EvalArguments),
    /// Score predictions of any system, with confidence intervals, and compare two systems
    Score(ScoreArguments),
    /// Name sounds, by ImageBind and a list of labels
    Sounds(SoundsArguments),
    /// Assemble one model folder from published CLIP, SAM, ImageBind and LLaMA or LLaVA weights
    Assemble(AssembleArguments),
    /// List models known to work: location, size, memory, references, licence, checks
    Models(ModelsArguments),
    /// Show the model's parts, data types and memory; or the tensors of any checkpoint; or the
    /// backends
    Info(InfoArguments),
    /// Choose and compile the kernels of a backend, which are kept, ahead of the first question
    WarmUp,
    /// Print a script with which a shell completes this command line
    Completions(CompletionsArguments),
    /// Write pages of the system's manual, one for each command
    #[command(hide = true)]
    Manual(ManualArguments),
    #[cfg(feature = "train")]
    #[command(flatten)]
    Training(train::TrainCommand),
}

/// Parses the name of a conversation template.
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
