//! Options for SAM's own prompts.

use std::path::PathBuf;

use clap::Args;

/// Prompts besides a box that SAM answers alone, without the language model.
#[derive(Debug, Args)]
#[command(next_help_heading = "Clicks, answered by SAM alone, with one --box at most")]
pub struct PointArguments {
    /// Point on the object, in pixels; append ,0 for a point off it
    #[arg(long = "point", value_name = "X,Y[,0]", allow_hyphen_values = true)]
    pub points: Vec<String>,
    /// Mask to refine, white on black, in the picture's size
    #[arg(long, value_name = "MASK.png")]
    pub refine: Option<PathBuf>,
    /// Give all three masks that a prompt may mean, the likeliest first
    #[arg(long)]
    pub multimask: bool,
}

impl PointArguments {
    /// Returns whether SAM is asked alone.
    pub fn given(&self) -> bool {
        !self.points.is_empty() || self.refine.is_some() || self.multimask
    }
}
