//! Progress of a run as a bar on standard error.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyref_train::config::StageConfig;
use anyref_train::run::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Progress bar of the current stage.
#[derive(Debug)]
pub struct Bar(Mutex<ProgressBar>);

impl Default for Bar {
    fn default() -> Self {
        Self(Mutex::new(ProgressBar::hidden()))
    }
}

impl Bar {
    fn bar(&self) -> MutexGuard<'_, ProgressBar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Bar {
    fn run_started(&self, title: &str, number: usize, count: usize) {
        eprintln!("run {number} of {count}: {title}");
    }

    fn stage_started(&self, stage: &StageConfig, done: u64) {
        let style = ProgressStyle::with_template(
            "{prefix} {bar:30} {pos}/{len} {elapsed_precise} left {eta_precise} {msg}",
        )
        .expect("a valid template");
        let bar = ProgressBar::new(stage.steps)
            .with_style(style)
            .with_prefix(stage.kind.to_string());
        bar.set_position(done);
        bar.reset_eta();
        *self.bar() = bar;
    }

    fn step_ended(&self, done: u64, metrics: &[(String, f64)]) {
        let bar = self.bar();
        bar.set_position(done);
        bar.set_message(summary(metrics));
    }

    fn validated(&self, stage: &StageConfig, step: u64, scores: &[(String, f64)]) {
        let scores = summary(scores);
        self.bar()
            .println(format!("{} step {step}: {scores}", stage.kind));
    }

    fn stage_ended(&self) {
        self.bar().abandon();
    }
}

fn summary(metrics: &[(String, f64)]) -> String {
    let shown: Vec<_> = metrics
        .iter()
        .filter(|(name, _)| name != "learning_rate")
        .map(|(name, value)| format!("{name} {value:.3}"))
        .collect();
    shown.join("  ")
}
