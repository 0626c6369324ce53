//! Training and evaluation of every variant with every seed.

use std::fs;
use std::path::Path;

use anyref_core::{AnyRef, CandidateConfig};
use burn::tensor::backend::AutodiffBackend;

use super::config::{AblationConfig, Variant};
use super::error::{AblationError, Result};
use super::result::RunResult;
use super::table::table;
use crate::config::TrainConfig;
use crate::file_error::FileError;
use crate::gradient_checkpointing::Recomputing;
use crate::run::{Folders, Launch, Progress, open_scenes};
use anyref_data::scenes::Scenes;
use anyref_eval::{EvalOptions, evaluate, scores};
use anyref_weights::write_atomic;

/// Name of the file that marks a run as done.
const RESULT: &str = "result.json";
/// Questions in a batch.
const BATCH: usize = 8;

/// Runs or resumes an ablation in `folders.run`, which gets `table.md`, `results.jsonl` and
/// `VARIANT/seed-N` for each run. Seeds are run one after the other, so that all variants can be
/// compared early. Returns the table. Runs with a result are skipped, and an interrupted run
/// resumes from its last checkpoint.
///
/// # Errors
/// When the configuration is no ablation, a run fails, or a folder holds a run of another
/// configuration.
pub fn ablate<B: Recomputing>(
    config: &AblationConfig,
    folders: &Folders,
    progress: &dyn Progress,
    device: &B::Device,
) -> Result<String> {
    config.check()?;
    let base = config.base()?;
    let scenes = open_scenes(&base, folders)?;
    fs::create_dir_all(&folders.run).map_err(FileError::of("create", &folders.run))?;
    let all = config.seeds.len() * config.variants.len();
    let mut results = Vec::with_capacity(all);
    for &seed in &config.seeds {
        for variant in &config.variants {
            let training = config.training(variant, seed)?;
            let name = format!("{}/seed-{seed}", variant.name);
            let run = Folders {
                run: folders.run.join(name),
                ..folders.clone()
            };
            check_same(&run.run, &training)?;
            let result = match RunResult::read(&run.run.join(RESULT))? {
                Some(result) => result,
                None => {
                    let title = format!("{}, seed {seed}", variant.title());
                    progress.run_started(&title, results.len() + 1, all);
                    let launch = Launch {
                        progress,
                        ..Launch::new(&training, &run)
                    };
                    if !launch.run::<B>(std::slice::from_ref(device))? {
                        return Err(AblationError::Stopped { run: run.run });
                    }
                    let asked = (config, &base, variant, seed);
                    let result = asked_result::<B>(asked, &scenes, &run.run, device)?;
                    result.write(&run.run.join(RESULT))?;
                    result
                }
            };
            results.push(result);
            report(config, folders, &results)?;
        }
    }
    Ok(table(config, &results))
}

/// Refuses a folder whose run was made by another configuration.
fn check_same(run: &Path, config: &TrainConfig) -> Result<()> {
    let file = run.join("config.json");
    let Ok(before) = fs::read_to_string(&file) else {
        return Ok(());
    };
    if before.trim_end() != serde_json::to_string_pretty(config)? {
        return Err(AblationError::OtherConfig { run: run.into() });
    }
    Ok(())
}

/// Evaluates the trained model.
fn asked_result<B: AutodiffBackend>(
    (config, base, variant, seed): (&AblationConfig, &TrainConfig, &Variant, u64),
    scenes: &Scenes,
    run: &Path,
    device: &B::Device,
) -> Result<RunResult> {
    let mut anyref = AnyRef::<B::InnerBackend>::load(&run.join("model"), device)?;
    // Reranking was tuned for one model alone, so every first answer is scored as it is.
    anyref.config.candidates = CandidateConfig::default();
    anyref.config.min_mask_score = 0.0;
    let options = EvalOptions {
        kinds: config.kinds(variant),
        cases: config.evaluation.scenes,
        batch: BATCH,
        out: run.join("eval"),
        settings: format!("{}, seed {seed}", variant.name),
        instructions: base.instructions.clone(),
        disturbance: None,
    };
    let evaluated = evaluate(&anyref, scenes, &options, &mut |_| {})?;
    let scores = scores(&evaluated.cases);
    Ok(RunResult::new(&variant.name, seed, &scores))
}

/// Writes the results known so far.
fn report(config: &AblationConfig, folders: &Folders, results: &[RunResult]) -> Result<()> {
    let lines = results
        .iter()
        .map(|result| Ok(serde_json::to_string(result)? + "\n"))
        .collect::<Result<String>>()?;
    write_atomic(folders.run.join("results.jsonl"), &lines)?;
    write_atomic(folders.run.join("table.md"), table(config, results))?;
    Ok(())
}
