//! Commands of the program.

mod assemble;
mod chat;
mod clicks;
mod completions;
mod demo;
mod describe;
mod eval;
mod gguf;
mod info;
mod manual;
mod masks;
mod models;
mod outcome;
mod refinement;
mod score;
mod segment;
mod segment_all;
#[cfg(feature = "serve")]
mod serve;
mod sounds;
mod tensors;
#[cfg(feature = "train")]
mod train;
mod warm_up;

use anyhow::{Result, bail};
use anyref_core::OnDevice;
use burn::tensor::backend::Backend;

use crate::args::{
    AssembleArguments, Command, Common, EvalArguments, InfoArguments, SoundsArguments,
};

/// Runs a command.
pub fn run(common: &Common, command: &Command) -> Result<()> {
    check_model(common, command)?;
    match command {
        Command::Demo(arguments) => demo::run(common, arguments),
        Command::Segment(arguments) => segment::run(common, arguments),
        Command::Masks(arguments) => masks::run(common, arguments),
        Command::Describe(arguments) => describe::run(common, arguments),
        Command::Chat(arguments) => chat::run(common, arguments),
        Command::Info(arguments) if arguments.devices => info::devices(),
        Command::Models(arguments) => models::run(arguments),
        Command::Score(arguments) => score::run(common, arguments),
        Command::Completions(arguments) => completions::run(arguments.shell),
        Command::Manual(arguments) => manual::run(arguments),
        Command::WarmUp => warm_up::run(common),
        #[cfg(feature = "serve")]
        Command::Serve(arguments) => serve::run(common, arguments),
        #[cfg(feature = "train")]
        Command::Training(command) => train::run(common, command),
        Command::Eval(arguments) => on_device(common, Generic::Eval(arguments)),
        Command::Sounds(arguments) => on_device(common, Generic::Sounds(arguments)),
        Command::Assemble(arguments) => on_device(common, Generic::Assemble(arguments)),
        Command::Info(arguments) => on_device(common, Generic::Info(arguments)),
    }
}

/// Runs a command that needs its backend as a type.
fn on_device(common: &Common, command: Generic<'_>) -> Result<()> {
    let task = Dispatched { common, command };
    common.backend.dispatch(common.device, task)?
}

/// Refuses a model for commands that would ignore it.
fn check_model(common: &Common, command: &Command) -> Result<()> {
    #[cfg(feature = "serve")]
    let several = matches!(command, Command::Serve(_));
    #[cfg(not(feature = "serve"))]
    let several = false;
    if !several && common.models.len() > 1 {
        bail!(
            "--model is given {} times: give it once, `serve` alone takes several",
            common.models.len()
        );
    }
    let what = match command {
        Command::Score(_) => "the scoring of predictions",
        Command::Sounds(_) => "the naming of sounds, whose model --imagebind gives,",
        Command::Assemble(_) => "an assembly, which makes one",
        #[cfg(feature = "train")]
        Command::Training(_) => "a training command, whose configuration names its model,",
        Command::Models(_) => "the list of known models",
        Command::Completions(_) => "a shell's script",
        Command::Manual(_) => "the manual",
        Command::Info(arguments) if arguments.devices => "the list of devices",
        Command::Info(arguments) if arguments.path.is_some() => "the list of a file's tensors",
        _ => return Ok(()),
    };
    match common.model() {
        Some(_) => bail!("{what} has no use for --model: leave it out"),
        None => Ok(()),
    }
}

/// Commands that need their backend as a type.
enum Generic<'a> {
    Eval(&'a EvalArguments),
    Sounds(&'a SoundsArguments),
    Assemble(&'a AssembleArguments),
    Info(&'a InfoArguments),
}

/// Command to be run on a backend.
struct Dispatched<'a> {
    common: &'a Common,
    command: Generic<'a>,
}

impl OnDevice for Dispatched<'_> {
    type Output = Result<()>;

    fn run<B: Backend>(self, device: &B::Device) -> Result<()> {
        match self.command {
            Generic::Eval(arguments) => eval::run::<B>(self.common, arguments, device),
            Generic::Sounds(arguments) => sounds::run::<B>(self.common, arguments, device),
            Generic::Assemble(arguments) => assemble::run::<B>(self.common, arguments),
            Generic::Info(arguments) => match &arguments.path {
                Some(path) => tensors::run::<B>(path, arguments.against.as_deref(), device),
                None => info::run::<B>(self.common, device),
            },
        }
    }
}
