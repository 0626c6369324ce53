//! Progress and speed of an evaluation on stderr.

use anyref_eval::{Progress, Throughput};
use indicatif::{ProgressBar, ProgressStyle};

/// Bar with the name of what is asked about and the time that is left; it goes when it is dropped.
pub struct Bar(ProgressBar);

impl Bar {
    /// An empty bar.
    pub fn new() -> Self {
        let style =
            ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} left {eta_precise}");
        Self(ProgressBar::new(0).with_style(style.expect("a valid template")))
    }

    /// Shows a step.
    pub fn show(&self, progress: Progress<'_>) {
        self.0.set_prefix(progress.name.to_owned());
        self.0.set_length(progress.total as u64);
        self.0.set_position(progress.done as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Says on stderr how fast it went: the scores on stdout are the same every time.
pub(super) fn say_speed(throughput: &Throughput) {
    if let Some(speed) = throughput.markdown() {
        eprintln!("{speed}");
    }
}
