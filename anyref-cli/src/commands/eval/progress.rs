//! Progress and speed of an evaluation on stderr.

use anyref_eval::{Progress, Throughput};
use indicatif::{ProgressBar, ProgressStyle};

/// Progress bar with the current name and the remaining time; it disappears when dropped.
pub struct Bar(ProgressBar);

impl Bar {
    /// Progress bar at 0.
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

/// Prints the throughput on stderr: the scores on stdout are reproducible.
pub(super) fn say_speed(throughput: &Throughput) {
    if let Some(speed) = throughput.markdown() {
        eprintln!("{speed}");
    }
}
