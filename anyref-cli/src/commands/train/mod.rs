//! `anyref train`, `export`, `ablate`, `pictures`, `demo-scenes` and `check-data`.

mod progress;
mod tasks;

use anyhow::{Result, bail};
use anyref_data::datasets::jsonl;
use anyref_train::ablation::AblationConfig;
use anyref_train::run::{Launch, Which, open_scenes};

use crate::args::Common;
use crate::args::train::TrainCommand;
use progress::Bar;
use tasks::{Ablation, Export, Pictures, Planning, Training};

/// Runs a training command.
pub fn run(common: &Common, command: &TrainCommand) -> Result<()> {
    match command {
        TrainCommand::Train { run, dry_run, .. } if *dry_run => {
            let (config, folders) = run.open()?;
            let planning = Planning {
                config: &config,
                folders: &folders,
            };
            let plan = common.backend.dispatch(common.device, planning)??;
            println!("{plan}");
            match plan.lacking.len() {
                0 => Ok(()),
                1 => bail!("the run cannot start: {}", plan.lacking[0]),
                count => {
                    for lacking in &plan.lacking {
                        eprintln!("{lacking}");
                    }
                    bail!("the run cannot start for want of these {count}")
                }
            }
        }
        TrainCommand::Train {
            run,
            stop_after,
            devices,
            nodes,
            ..
        } => {
            let topology = nodes.clone().topology()?;
            let (config, folders) = run.open()?;
            let devices = match common.device {
                Some(_) if !devices.is_empty() => {
                    bail!("--device names one device and --devices several: give one of them")
                }
                Some(number) => vec![number],
                None => devices.clone(),
            };
            let training = Training(Launch {
                stop_after: *stop_after,
                topology: topology.as_ref(),
                progress: &Bar::default(),
                ..Launch::new(&config, &folders)
            });
            if common.backend.dispatch_team(&devices, training)?? {
                let of = if topology.is_some() {
                    ", of node 0"
                } else {
                    ""
                };
                println!(
                    "done: the model is in {}{of}",
                    folders.run.join("model").display()
                );
            } else {
                println!("stopped; run the same command to go on");
            }
            Ok(())
        }
        TrainCommand::Export {
            run,
            out,
            adapter,
            best,
        } => {
            let (config, folders) = run.open()?;
            let export = Export {
                config: &config,
                folders: &folders,
                which: if *best { Which::Best } else { Which::Newest },
                out,
                adapter: *adapter,
            };
            let checkpoint = common.backend.dispatch(common.device, export)??;
            println!("{} -> {}", checkpoint.display(), out.display());
            Ok(())
        }
        TrainCommand::Ablate { run } => {
            let config: AblationConfig = run.read("ablation")?;
            let folders = run.folders(&config.name);
            let ablation = Ablation {
                config: &config,
                folders: &folders,
                progress: &Bar::default(),
            };
            println!("{}", common.backend.dispatch(common.device, ablation)??);
            println!("written to {}", folders.run.join("table.md").display());
            Ok(())
        }
        TrainCommand::Pictures { run, out, count } => {
            let (config, folders) = run.open()?;
            let pictures = Pictures {
                config: &config,
                folders: &folders,
                count: *count,
                out,
            };
            common.backend.dispatch(common.device, pictures)??;
            println!("{}", out.display());
            Ok(())
        }
        TrainCommand::DemoScenes { run, out, scenes } => {
            let (config, folders) = run.open()?;
            let data = open_scenes(&config, &folders)?;
            let demo = anyref_data::scenes::demo::write(&data, &config.instructions, *scenes, out)?;
            println!("{} scenes -> {}", demo.scenes.len(), out.display());
            Ok(())
        }
        TrainCommand::CheckData { file } => {
            let (good, problems) = jsonl::problems(file)?;
            for problem in &problems {
                println!("{problem}");
            }
            println!("{}: {good} good lines", file.display());
            match problems.len() {
                0 if good == 0 => bail!("{} has no lines", file.display()),
                0 => Ok(()),
                count => bail!("{count} bad lines; they are named above"),
            }
        }
    }
}
