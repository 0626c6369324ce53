//! Options of masks by SAM's own prompts.

use std::path::PathBuf;

use clap::Args;

/// Prompts beside a box that SAM answers by itself, whatever language model stands before it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clicks, answered by SAM alone, with one --box at most")]
pub struct PointArguments {
    /// A place on the object, in pixels; off it with ,0
    #[arg(long = "point", value_name = "X,Y[,0]", allow_hyphen_values = true)]
    pub points: Vec<String>,
    /// A mask to refine, white on black, in the picture's size
    #[arg(long, value_name = "MASK.png")]
    pub refine: Option<PathBuf>,
    /// Give all three masks that a prompt may mean, the likeliest first
    #[arg(long)]
    pub multimask: bool,
}

impl PointArguments {
    /// Whether SAM is asked by itself.
    pub fn given(&self) -> bool {
        !self.points.is_empty() || self.refine.is_some() || self.multimask
    }
}
