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

/// Where results go.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Write the mask as a PNG, 8-bit, 0 or 255, in the picture's size; several get _1, _2
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
    /// The picture; several, a folder or a pattern such as 'photos/*.jpg' are asked about one by
    /// one, with --out
    #[arg(long = "image", value_name = "FILE", required = true, num_args = 1..)]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub references: References,
    #[command(flatten)]
    pub clicks: PointArguments,
    /// A question of your own, with {1}, {2} … where the references go, in the order given
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Folder for the answers about many pictures: each picture with its masks drawn over it,
    /// masks.json in COCO's format, answers.jsonl; run it again to go on
    #[arg(long, value_name = "DIR", conflicts_with_all = ["mask", "overlay", "explain"])]
    pub out: Option<PathBuf>,
    /// Folder for what each `<obj>` looked at (patches, words, references) and its mask without and
    /// with refocusing
    #[arg(long, value_name = "DIR")]
    pub explain: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// The picture
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// The box to describe, in pixels
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true)]
    pub region: String,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct ChatArguments {
    /// The picture
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Write each answer's masks over the picture, as OUT_1.png, OUT_2.png …
    #[arg(long, value_name = "OUT.png")]
    pub overlay: Option<PathBuf>,
}
