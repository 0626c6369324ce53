//! `anyref models`: models that are known to work.

use anyhow::Result;
use anyref_core::{Gigabytes, KNOWN_MODELS, KnownModel, ReferenceKind};

use crate::args::ModelsArguments;
use crate::output::say;

/// Prints the models.
pub fn run(arguments: &ModelsArguments) -> Result<()> {
    if arguments.json {
        return say(&serde_json::to_string(KNOWN_MODELS)?);
    }
    for model in KNOWN_MODELS {
        for (name, text) in lines(model) {
            say(&format!("{name:<14}{text}"))?;
        }
        say("")?;
    }
    say(
        "Sizes and memory are reckoned from shapes, not measured on the published files, which could \
         not be downloaded where this was built.",
    )
}

/// Names and texts that describe a model; the first name is `model`.
fn lines(model: &KnownModel) -> Vec<(&'static str, String)> {
    let mut lines = vec![("model", model.name.to_owned())];
    let place = match model.location {
        "" => "built in".to_owned(),
        location if model.on_hub() => format!("--model {location}"),
        location => location.to_owned(),
    };
    lines.push(("  place", place));
    lines.push(("  answers", model.answers.to_owned()));
    lines.push(("  references", references(model)));
    if !model.masks {
        lines.push(("  masks", "none".to_owned()));
    }
    if model.download > 0 {
        let download = format!("about {}", Gigabytes(model.download));
        lines.push(("  download", download));
    }
    let memory = format!("about {}", Gigabytes(model.memory));
    lines.push(("  memory", memory));
    lines.push(("  licence", model.licence.to_owned()));
    lines.push(("  checked", model.checked.to_owned()));
    if !model.unchecked.is_empty() {
        lines.push(("  unchecked", model.unchecked.to_owned()));
    }
    lines
}

/// Kinds of references, with the bridged ones listed separately.
fn references(model: &KnownModel) -> String {
    let names = |kinds: &[ReferenceKind]| {
        let names: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let mut text = names(model.native);
    if model.points {
        text += ", points";
    }
    if !model.bridged.is_empty() {
        text += &format!("; bridged: {}", names(model.bridged));
    }
    text
}
