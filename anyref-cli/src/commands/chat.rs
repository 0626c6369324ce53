//! `anyref chat`: several turns about one picture, from the keyboard or a pipe.

use std::io::{BufRead, ErrorKind, IsTerminal, stdin};
use std::ops::ControlFlow;
use std::path::Path;
use std::slice;
use std::time::Instant;

use crate::failure;
use anyhow::{Context, Result, bail};
use anyref_audio::AudioPreprocessorConfig;
use anyref_core::{Dialogue, Prompt, Reference, SpecialTokens, next_placeholder};
use anyref_vision::preprocess::open_image;
use image::RgbImage;

use super::refinement::Refinement;
use crate::args::{ChatArguments, Common, ReferenceArgument};
use crate::output::Run;
use crate::overlay::Overlay;
use crate::{model, output, prompt};

const HELP: &str = "\
/box X0,Y0,X1,Y1   refer to a box of the picture
/image FILE        refer to another picture of such a thing
/audio FILE        refer to a sound
/point X,Y[,0]     refine the last mask by a click on the object, or off it with ,0; ask for one
/forget            drop the references for the next message, and the clicks
/new               the same, and forget what was asked and answered
/help              this list
/quit              leave
References stand in the next message as {1}, {2} … in the order given; a message without these numbers
gets them at its end, and an empty message asks for their masks.";

/// Runs the command.
pub fn run(common: &Common, arguments: &ChatArguments) -> Result<()> {
    if let Some(path) = &arguments.overlay {
        output::check_writable(path)?;
    }
    if common.candidates.is_some_and(|count| count > 1) {
        bail!(
            "--candidates: a chat shows answers as they are written, so that none is tried before"
        );
    }
    let image = open_image(&arguments.image)?;
    let engine = model::engine(common)?;
    let makes_masks = engine.info().makes_masks();
    if !makes_masks {
        eprintln!("note: this model answers in words alone and makes no masks");
    }
    let mut dialogue = Dialogue::new(engine.encode(&image)?);
    let interactive = stdin().is_terminal();
    if interactive {
        output::say(&format!(
            "{}: ask about it; /help lists the commands",
            arguments.image.display()
        ))?;
    }
    // Counted over all conversations, so that no overlay replaces another.
    let mut answered = 0;
    // Reported with the first answer.
    let mut load = engine.info().load;
    let mut pending = Pending::of(image.dimensions(), engine.info().audio.as_ref());
    let mut refinement = Refinement::default();
    let mut lines = stdin().lock().lines();
    loop {
        if interactive {
            output::say_part("> ")?;
        }
        let line = match lines.next().transpose() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                eprintln!("error: a line that is not UTF-8 is left out: write it in UTF-8");
                continue;
            }
            Err(error) => return Err(error).context("cannot read standard input"),
        };
        let line = line.trim();
        match line.split_once(char::is_whitespace).unwrap_or((line, "")) {
            ("/quit", _) => return Ok(()),
            ("/help", _) => output::say(HELP)?,
            ("/forget", _) => {
                pending.clear();
                refinement = Refinement::default();
            }
            ("/new", _) => {
                dialogue.clear();
                pending.clear();
                refinement = Refinement::default();
            }
            ("/point", click) => match refinement.click(&*engine, dialogue.picture(), click) {
                Ok(mask) => {
                    answered += 1;
                    output::say(&output::mask_line(1, &mask))?;
                    let overlay = Overlay {
                        masks: &[mask],
                        references: &[],
                        points: refinement.points(),
                        question: click,
                        answer: "",
                    };
                    write_overlay(arguments, answered, &overlay, &image, &[])?;
                }
                Err(error) => eprintln!("error: {}", failure::one_line(&error)),
            },
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
                let start = Instant::now();
                let mut unwritten = None;
                let answer = engine.chat(&mut dialogue, question.clone(), &mut |piece| {
                    let piece = SpecialTokens::words_of_piece(piece);
                    match output::say_part(&piece) {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(error) => {
                            unwritten = Some(error);
                            ControlFlow::Break(())
                        }
                    }
                });
                if let Some(error) = unwritten {
                    return Err(error);
                }
                match answer {
                    Err(error @ anyref_core::Error::Device(_)) => return Err(error.into()),
                    // The references are kept for another attempt.
                    Err(error) => {
                        eprintln!("error: {}", failure::one_line(&error.into()));
                        if !pending.references.is_empty() {
                            eprintln!(
                                "the references are kept for the next message: /forget drops them"
                            );
                        }
                    }
                    Ok(answer) => {
                        answered += 1;
                        output::say("")?;
                        for (index, mask) in answer.masks.iter().enumerate() {
                            output::say(&output::mask_line(index + 1, mask))?;
                        }
                        if makes_masks {
                            output::say_missing_masks(&answer, &arguments.image, None)?;
                        }
                        if common.verbose {
                            let run = Run {
                                load: std::mem::take(&mut load),
                                ..Run::new(engine.info(), start)
                            };
                            eprintln!("{}", output::timing_line(&answer.timing, run));
                        }
                        let shown = pending.written.iter().flat_map(ReferenceArgument::files);
                        let overlay = Overlay {
                            masks: &answer.masks,
                            references: &question.references,
                            points: &[],
                            question: &prompt::readable(&question),
                            answer: &answer.text,
                        };
                        let shown: Vec<&Path> = shown.collect();
                        write_overlay(arguments, answered, &overlay, &image, &shown)?;
                        refinement = Refinement::of(answer.masks.last());
                        pending.clear();
                    }
                }
            }
        }
    }
}

/// Writes answer number `answered` over the picture, if requested, but over none of the answer's
/// input files; errors are reported and the chat continues.
fn write_overlay(
    arguments: &ChatArguments,
    answered: usize,
    overlay: &Overlay<'_>,
    image: &RgbImage,
    shown: &[&Path],
) -> Result<()> {
    let Some(path) = &arguments.overlay else {
        return Ok(());
    };
    let path = output::numbered(path, answered);
    let read: Vec<&Path> = shown.iter().copied().chain([&*arguments.image]).collect();
    let drawn = output::check_apart(&path, &read)
        .and_then(|()| output::write_picture(&overlay.draw(image), &path));
    match drawn {
        Ok(()) => output::say(&format!("overlay -> {}", path.display())),
        Err(error) => {
            eprintln!("error: {}", failure::one_line(&error));
            Ok(())
        }
    }
}

/// References for the next message.
struct Pending<'a> {
    /// Width and height of the picture.
    size: (u32, u32),
    /// Preprocessing of sounds, if the model has an audio encoder.
    hearing: Option<&'a AudioPreprocessorConfig>,
    written: Vec<ReferenceArgument>,
    references: Vec<Reference>,
}

impl<'a> Pending<'a> {
    /// No references yet, for a picture of this size and a model with this preprocessing of sounds.
    fn of(size: (u32, u32), hearing: Option<&'a AudioPreprocessorConfig>) -> Self {
        Self {
            size,
            hearing,
            written: Vec::new(),
            references: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.written.clear();
        self.references.clear();
    }

    /// Reads a reference; an invalid one is reported and left out.
    fn add(&mut self, argument: ReferenceArgument) {
        let read = prompt::read(&argument).and_then(|reference| {
            reference.fits(self.size)?;
            let (argument, one) = (slice::from_ref(&argument), slice::from_ref(&reference));
            prompt::check_sounds(self.hearing, argument, one)?;
            Ok(reference)
        });
        match read {
            Ok(reference) => {
                self.references.push(reference);
                self.written.push(argument);
                eprintln!("{{{}}}", self.references.len());
            }
            Err(error) => eprintln!("error: {}", failure::one_line(&error)),
        }
    }

    /// Prompt of the message and the references.
    fn prompt(&self, message: &str) -> Prompt {
        let prompt = Prompt::new(self.references.iter().cloned());
        if message.is_empty() {
            return prompt;
        }
        if self.references.is_empty() || next_placeholder(message).is_some() {
            return prompt.with_question(message);
        }
        let numbers = (1..=self.references.len()).map(|n| format!("{{{n}}}"));
        let numbers: Vec<_> = numbers.collect();
        prompt.with_question(format!("{message} {}", numbers.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stand_where_a_message_has_them_or_at_its_end() {
        let mut pending = Pending::of((64, 64), None);
        let asked = |pending: &Pending<'_>, message: &str| pending.prompt(message).question;
        let said = |message: &str| Some(message.to_owned());
        assert_eq!(asked(&pending, "is it red?"), said("is it red?"));
        for corners in ["1,2,3,4", "5,6,7,8"] {
            pending.add(ReferenceArgument::Box(corners.into()));
        }
        assert_eq!(asked(&pending, "red?"), said("red? {1} and {2}"));
        for message in ["is {1} left of {2}?", "is { 1 } left of {02}?"] {
            assert_eq!(asked(&pending, message), said(message));
        }
        assert_eq!(asked(&pending, ""), None);
    }
}
