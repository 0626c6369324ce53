//! Options of `anyref sounds`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct SoundsArguments {
    /// Sound file (wav, flac, ogg, mp3); may be given several times
    #[arg(long, required = true, value_name = "FILE")]
    pub audio: Vec<PathBuf>,
    /// Template of the texts for labels, {} for the label [default: "A {}."]
    #[arg(long, value_name = "TEXT")]
    pub sound_prompt: Option<String>,
    /// Largest number of labels shown
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub top: usize,
    /// Folder that caches the labels' embeddings, which saves the text tower's work on the next
    /// call [default: ANYREF_CACHE, XDG_CACHE_HOME/anyref or ~/.cache/anyref]
    #[arg(long, value_name = "DIR")]
    pub label_cache: Option<PathBuf>,
    /// Print one JSON object a sound instead of text
    #[arg(long)]
    pub json: bool,
}
