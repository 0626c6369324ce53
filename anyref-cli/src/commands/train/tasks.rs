//! Training commands on a backend.

use std::path::{Path, PathBuf};

use anyref_core::{OnDevice, OnDevices};
use anyref_train::ablation::{self, AblationConfig, ablate};
use anyref_train::config::TrainConfig;
use anyref_train::run::{
    Folders, Launch, Plan, Progress, Result, Which, draw_validation, export_adapter,
    export_checkpoint,
};
use burn::backend::Autodiff;
use burn::tensor::backend::Backend;

/// Trains or resumes a run; returns whether it is complete.
pub struct Training<'a>(pub Launch<'a>);

impl OnDevices for Training<'_> {
    type Output = Result<bool>;

    fn run<B: Backend>(self, devices: &[B::Device]) -> Result<bool> {
        self.0.run::<Autodiff<B>>(devices)
    }
}

/// Plans a run.
pub struct Planning<'a> {
    pub config: &'a TrainConfig,
    pub folders: &'a Folders,
}

impl OnDevice for Planning<'_> {
    type Output = Result<Plan>;

    fn run<B: Backend>(self, device: &B::Device) -> Result<Plan> {
        Plan::new::<Autodiff<B>>(self.config, self.folders, device)
    }
}

/// Runs or resumes an ablation; returns its table.
pub struct Ablation<'a> {
    pub config: &'a AblationConfig,
    pub folders: &'a Folders,
    pub progress: &'a dyn Progress,
}

impl OnDevice for Ablation<'_> {
    type Output = ablation::Result<String>;

    fn run<B: Backend>(self, device: &B::Device) -> ablation::Result<String> {
        ablate::<Autodiff<B>>(self.config, self.folders, self.progress, device)
    }
}

/// Draws validation pictures; returns their number.
pub struct Pictures<'a> {
    pub config: &'a TrainConfig,
    pub folders: &'a Folders,
    pub count: usize,
    pub out: &'a Path,
}

impl OnDevice for Pictures<'_> {
    type Output = Result<usize>;

    fn run<B: Backend>(self, device: &B::Device) -> Result<usize> {
        draw_validation::<Autodiff<B>>(self.config, self.folders, self.count, self.out, device)
    }
}

/// Exports a checkpoint; returns its path.
pub struct Export<'a> {
    pub config: &'a TrainConfig,
    pub folders: &'a Folders,
    pub which: Which,
    pub out: &'a Path,
    /// Whether only the trained weights are written, as an adapter.
    pub adapter: bool,
}

impl OnDevice for Export<'_> {
    type Output = Result<PathBuf>;

    fn run<B: Backend>(self, device: &B::Device) -> Result<PathBuf> {
        let export = match self.adapter {
            true => export_adapter::<Autodiff<B>>,
            false => export_checkpoint::<Autodiff<B>>,
        };
        export(self.config, self.folders, self.which, self.out, device)
    }
}
