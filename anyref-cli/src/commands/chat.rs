//! `anyref chat`: several turns about one picture, from the keyboard or a pipe.

use std::io::{BufRead, IsTerminal, stdin};

use anyhow::{Result, bail};
use anyref_core::{Prompt, Reference};
use anyref_vision::preprocess::open_image;
use burn::tensor::backend::Backend;

use crate::args::{ChatArguments, Common, ReferenceArgument};
use crate::overlay::Overlay;
use crate::{failure, model, output, prompt};

const HELP: &str = "\
/box X0,Y0,X1,Y1   refer to a box of the picture
/image FILE        refer to another picture of such a thing
/audio FILE        refer to a sound
/help              this list
/quit              leave
References stand in the next message as {1}, {2} … in the order given; a message without these numbers
gets them at its end, and an empty message asks for their masks.";

/// Runs the command.
pub fn run<B: Backend>(
    common: &Common,
    arguments: &ChatArguments,
    device: &B::Device,
) -> Result<()> {
    if let Some(path) = &arguments.overlay {
        output::check_writable(path)?;
    }
    if common.candidates.is_some_and(|count| count > 1) {
        bail!(
            "--candidates: a chat shows answers as they are written, so that none is tried before"
        );
    }
    let image = open_image(&arguments.image)?;
    let opened = model::open::<B>(common, device)?;
    let picture = opened.anyref.picture(&image)?;
    let mut chat = opened.anyref.chat(&picture);
    let interactive = stdin().is_terminal();
    if interactive {
        output::say(&format!(
            "{}: ask about it; /help lists the commands",
            arguments.image.display()
        ))?;
    }
    let mut pending = Pending::default();
    let mut lines = stdin().lock().lines();
    loop {
        if interactive {
            output::say_part("> ")?;
        }
        let Some(line) = lines.next().transpose()? else {
            return Ok(());
        };
        let line = line.trim();
        match line.split_once(char::is_whitespace).unwrap_or((line, "")) {
            ("/quit", _) => return Ok(()),
            ("/help", _) => output::say(HELP)?,
            ("/box", corners) => pending.add(ReferenceArgument::Box(corners.trim().into())),
            ("/image", file) => pending.add(ReferenceArgument::Image {
                path: file.trim().into(),
                region: None,
                mask: None,
            }),
            ("/audio", file) => pending.add(ReferenceArgument::Audio(file.trim().into())),
            (command, _) if command.starts_with('/') => {
                eprintln!("error: no command {command}: /help lists them");
            }
            _ if line.is_empty() && pending.references.is_empty() => {}
            _ => {
                let question = pending.prompt(line);
                let mut unwritten = None;
                let answer = chat.ask(question.clone(), &mut |piece| {
                    let piece = piece.replace(anyref_core::SpecialTokens::OBJECT, "");
                    unwritten = output::say_part(&piece).err().or(unwritten.take());
                });
                if let Some(error) = unwritten {
                    return Err(error);
                }
                match answer {
                    Err(error) => {
                        let error = prompt::name_files(error, &arguments.image, &pending.written);
                        eprintln!("error: {}", failure::one_line(&error));
                    }
                    Ok(answer) => {
                        output::say("")?;
                        for (index, mask) in answer.masks.iter().enumerate() {
                            output::say(&output::mask_line(index + 1, mask))?;
                        }
                        if let Some(path) = &arguments.overlay {
                            let path = output::numbered(path, chat.turns());
                            let overlay = Overlay {
                                masks: &answer.masks,
                                references: &question.references,
                                question: &prompt::readable(&question),
                                answer: &answer.text,
                            };
                            output::write_picture(&overlay.draw(&image), &path)?;
                            output::say(&format!("overlay -> {}", path.display()))?;
                        }
                    }
                }
                pending = Pending::default();
            }
        }
    }
}

/// References for the next message.
#[derive(Default)]
struct Pending {
    written: Vec<ReferenceArgument>,
    references: Vec<Reference>,
}

impl Pending {
    /// Reads a reference; a bad one is reported and left out.
    fn add(&mut self, argument: ReferenceArgument) {
        match prompt::read(&argument) {
            Ok(reference) => {
                self.references.push(reference);
                self.written.push(argument);
                eprintln!("{{{}}}", self.references.len());
            }
            Err(error) => eprintln!("error: {}", failure::one_line(&error)),
        }
    }

    /// The message with the references.
    fn prompt(&self, message: &str) -> Prompt {
        let prompt = Prompt::new(self.references.iter().cloned());
        let numbers: Vec<_> = (1..=self.references.len())
            .map(|n| format!("{{{n}}}"))
            .collect();
        if message.is_empty() {
            prompt
        } else if numbers.is_empty() || numbers.iter().any(|number| message.contains(number)) {
            prompt.with_question(message)
        } else {
            prompt.with_question(format!("{message} {}", numbers.join(" and ")))
        }
    }
}
