//! The commands.

mod assemble;
mod chat;
mod demo;
mod describe;
mod eval;
mod info;
mod score;
mod segment;
mod tensors;
#[cfg(feature = "train")]
mod train;

use anyhow::{Result, bail};
use anyref_core::Task;
use burn::tensor::backend::Backend;

use crate::args::{Command, Common};

/// Runs a command on the backend of the command line.
pub fn run(common: &Common, command: &Command) -> Result<()> {
    check_model(common, command)?;
    match command {
        Command::Info(arguments) if arguments.devices => info::devices(),
        Command::Score(arguments) => score::run(common, arguments),
        #[cfg(feature = "train")]
        Command::Training(command) => train::run(common, command),
        _ => common
            .backend
            .dispatch(common.device, Dispatched { common, command })?,
    }
}

/// Refuses a model where none is asked, which would be passed over.
fn check_model(common: &Common, command: &Command) -> Result<()> {
    let what = match command {
        Command::Score(_) => "the scoring of predictions",
        Command::Assemble(_) => "an assembly, which makes one",
        #[cfg(feature = "train")]
        Command::Training(_) => "a training command, whose configuration names its model,",
        Command::Info(arguments) if arguments.devices => "the list of devices",
        Command::Info(arguments) if arguments.path.is_some() => "the list of a file's tensors",
        _ => return Ok(()),
    };
    match common.model {
        Some(_) => bail!("{what} has no use for --model: leave it out"),
        None => Ok(()),
    }
}

/// A command on its way to a backend.
struct Dispatched<'a> {
    common: &'a Common,
    command: &'a Command,
}

impl Task for Dispatched<'_> {
    type Output = Result<()>;

    fn run<B: Backend>(self, device: &B::Device) -> Result<()> {
        match self.command {
            Command::Demo(arguments) => demo::run::<B>(self.common, arguments, device),
            Command::Segment(arguments) => segment::run::<B>(self.common, arguments, device),
            Command::Describe(arguments) => describe::run::<B>(self.common, arguments, device),
            Command::Chat(arguments) => chat::run::<B>(self.common, arguments, device),
            Command::Eval(arguments) => eval::run::<B>(self.common, arguments, device),
            Command::Score(arguments) => score::run(self.common, arguments),
            #[cfg(feature = "train")]
            Command::Training(command) => train::run(self.common, command),
            Command::Assemble(arguments) => assemble::run::<B>(self.common, arguments),
            Command::Info(arguments) => match &arguments.path {
                Some(path) => tensors::run::<B>(path, arguments.against.as_deref(), device),
                None => info::run::<B>(self.common, device),
            },
        }
    }
}
