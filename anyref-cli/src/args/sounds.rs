//! Options of `sounds`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct SoundsArguments {
    /// The sound (wav, flac, ogg, mp3); may be given several times
    #[arg(long, required = true, value_name = "FILE")]
    pub audio: Vec<PathBuf>,
    /// imagebind_huge.pth: its audio encoder and its text tower
    #[arg(long, value_name = "PATH")]
    pub imagebind: PathBuf,
    /// CLIP's folder, of which the tokenizer alone is read: vocab.json with merges.txt, or
    /// tokenizer.json
    #[arg(long, value_name = "DIR")]
    pub clip: PathBuf,
    /// A text file of labels, one a line [default: AudioSet's 527]
    #[arg(long, value_name = "FILE")]
    pub sound_labels: Option<PathBuf>,
    /// Form of the texts that labels are compared as, {} for the label [default: "A {}."]
    #[arg(long, value_name = "TEXT")]
    pub sound_prompt: Option<String>,
    /// Leave labels out that are less likely, 0 to 1
    #[arg(
        long,
        default_value_t = 0.0,
        value_name = "P",
        allow_negative_numbers = true
    )]
    pub sound_threshold: f32,
    /// So many labels at most
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub top: usize,
    /// Folder to keep the labels' embeddings in and to take them from, which saves the text tower's
    /// work on the next call
    #[arg(long, value_name = "DIR")]
    pub label_cache: Option<PathBuf>,
    /// Print one JSON object a sound instead of text
    #[arg(long)]
    pub json: bool,
}
