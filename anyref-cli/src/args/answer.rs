//! Options of the commands that answer: `demo`, `segment`, `describe` and `chat`.

use std::path::PathBuf;

use clap::Args;

use super::points::PointArguments;
use super::references::References;

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Folder for overlays, overview.png and answers.json
    #[arg(long, default_value = "anyref-demo", value_name = "DIR")]
    pub out: PathBuf,
}

/// Files and formats of the results.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Write the mask as a PNG, 8-bit, 0 or 255, in the picture's size; several masks get _1, _2
    #[arg(long, value_name = "OUT.png")]
    pub mask: Option<PathBuf>,
    /// Write the picture with masks and words drawn over it
    #[arg(long, value_name = "OUT.png")]
    pub overlay: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SegmentArguments {
    /// Picture file; several files, a folder or a pattern such as 'photos/*.jpg' are asked about
    /// one by one, with --out
    #[arg(long = "image", value_name = "FILE", required = true, num_args = 1..)]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub references: References,
    #[command(flatten)]
    pub clicks: PointArguments,
    /// Question of your own, with {1}, {2} … for the references in the order given
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Folder for the answers about many pictures: each picture with its masks drawn over it,
    /// masks.json in COCO's format, answers.jsonl; run it again to resume
    #[arg(long, value_name = "DIR", conflicts_with_all = ["mask", "overlay", "explain"])]
    pub out: Option<PathBuf>,
    /// Folder for the attention of each `<obj>` (patches, words, references) and its mask without
    /// and with refocusing
    #[arg(long, value_name = "DIR")]
    pub explain: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// Picture file
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Box to describe, in pixels
    #[arg(
        long = "box",
        value_name = "X0,Y0,X1,Y1",
        allow_hyphen_values = true,
        required_unless_present = "region",
        conflicts_with = "region"
    )]
    pub corners: Option<String>,
    /// Mask of the region to describe, white on black, in place of its box
    #[arg(long, value_name = "FILE")]
    pub region: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct ChatArguments {
    /// Picture file
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Write the masks of each answer over the picture, as OUT_1.png, OUT_2.png …
    #[arg(long, value_name = "OUT.png")]
    pub overlay: Option<PathBuf>,
}
