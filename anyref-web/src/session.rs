//! Model that answers the API's JSON.

use std::ops::ControlFlow;
use std::time::Duration;

use anyref_api::{
    AnswerOutput, Choice, MaskAnswer, MaskFormat, MaskRequest, ModelDetail, Outcome, PictureInput,
    Problem, QuestionInput, QuestionLimits, check_fit, likeliest, media, milliseconds,
    picture_not_found, region, words_of_piece,
};
use anyref_core::{
    Answer, Cancel, Dialogue, EncodedPicture, Engine, EngineOptions, Explanation, Goal, ModelFiles,
    ModelSource, Prompt, Request, load_engine,
};
use serde::Serialize;
use web_time::Instant;

use crate::kept::Kept;

/// Kept picture, as `POST /v1/pictures` answers it.
#[derive(Debug, Serialize)]
pub struct PictureOutput {
    /// Identifier, for questions.
    pub id: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Time of its encoding in milliseconds.
    pub encoding: f64,
}

/// Receiver of pieces of an answer.
pub type OnPiece<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Model with the pictures and conversations that it was asked about.
#[derive(Debug)]
pub struct Session {
    engine: Box<dyn Engine>,
    limits: QuestionLimits,
    known: Vec<String>,
    kept: Kept,
}

/// Picture of a question, with the time of its encoding if the question brought it.
struct Found {
    id: String,
    picture: EncodedPicture,
    encoding: Duration,
}

/// Answer before serialisation.
struct Given {
    answer: Answer,
    explanations: Option<Vec<Explanation>>,
    conversation: Option<String>,
}

impl Session {
    /// Loads a model on the backend of this build. `known` has the names of the objects that it was
    /// trained on, one a line.
    ///
    /// # Errors
    /// When the files are damaged or do not belong together.
    pub fn load(files: ModelFiles<'static>, known: &str) -> anyref_core::Result<Self> {
        let options = EngineOptions::new(ModelSource::Files(files));
        let known = known.lines().map(str::trim).filter(|name| !name.is_empty());
        Ok(Self {
            engine: load_engine(&options)?,
            limits: QuestionLimits::default(),
            known: known.map(str::to_owned).collect(),
            kept: Kept::new(),
        })
    }

    /// Name of the model.
    pub fn name(&self) -> &str {
        &self.engine.info().model
    }

    /// Details of the model, such as the inputs that it takes.
    pub fn info(&self) -> ModelDetail {
        ModelDetail::new(self.engine.info(), &self.known)
    }

    /// Encodes a picture file, once for all questions.
    ///
    /// # Errors
    /// When it cannot be read or is too large.
    pub async fn encode(&mut self, file: &[u8]) -> Outcome<PictureOutput> {
        let Found { id, picture, .. } = self.encoded(file, "uploaded", "body").await?;
        let (width, height) = picture.size();
        Ok(PictureOutput {
            id,
            width,
            height,
            encoding: milliseconds(picture.encoding_time()),
        })
    }

    /// Answers a question; `on_text` is called with the pieces of the likeliest answer.
    ///
    /// # Errors
    /// When the question cannot be asked.
    pub async fn ask(
        &mut self,
        goal: Goal,
        input: &QuestionInput,
        on_text: OnPiece<'_>,
    ) -> Outcome<AnswerOutput> {
        let start = Instant::now();
        let on_text: OnPiece<'_> = &mut |piece: &str| {
            if let Some(words) = words_of_piece(piece) {
                on_text(&words);
            }
        };
        self.check_model(input.model.as_deref())?;
        input.check_goal(goal)?;
        input.check(&self.limits)?;
        let prompt = input.prompt(&self.limits)?;
        let found = self.found(&input.picture).await?;
        let prompt = self.point(input, &found.picture, prompt).await?;
        check_fit(&prompt, found.picture.size())?;
        let encoding = found.encoding;
        let given = match goal {
            Goal::Chat => self.chat_turn(input, found, prompt, on_text).await?,
            _ if input.explain => self.explained(&found.picture, &prompt).await?,
            _ => {
                self.asked(goal, input, &found.picture, prompt, on_text)
                    .await?
            }
        };
        let total = start.elapsed();
        let format = input.masks;
        let output = AnswerOutput::new(self.name(), &given.answer, format, encoding, total);
        let mut output = match &given.explanations {
            Some(explanations) => output.explained(explanations, format),
            None => output,
        };
        output.conversation = given.conversation;
        Ok(output)
    }

    /// Refuses questions to another model.
    fn check_model(&self, name: Option<&str>) -> Outcome<()> {
        match name {
            Some(name) if name != self.name() => Err(Problem::no_model(name, &[self.name()])),
            _ => Ok(()),
        }
    }

    /// Predicts masks for points, a box or an earlier mask.
    ///
    /// # Errors
    /// When the prompt cannot be answered.
    pub async fn masks(&mut self, input: &MaskRequest) -> Outcome<MaskAnswer> {
        let start = Instant::now();
        self.check_model(input.model.as_deref())?;
        let prompt = input.prompt()?;
        let Found {
            picture, encoding, ..
        } = self.found(&input.picture).await?;
        prompt.fits(picture.size())?;
        let choice = input.candidates;
        let prompts = [prompt];
        let predicted = self
            .engine
            .prompt_masks_async(&picture, &prompts, choice.multimask());
        let predicted = predicted.await?.remove(0);
        let name = self.name();
        let total = start.elapsed();
        Ok(MaskAnswer::new(
            name,
            predicted,
            choice,
            input.masks,
            encoding,
            total,
        ))
    }

    async fn encoded(&mut self, file: &[u8], name: &str, field: &str) -> Outcome<Found> {
        media::check_pixels(file, &self.limits, field)?;
        let image = media::picture(file, name, field)?;
        let picture = self.engine.encode_async(&[&image]).await?.remove(0);
        Ok(Found {
            id: self.kept.add_picture(picture.clone()),
            encoding: picture.encoding_time(),
            picture,
        })
    }

    async fn found(&mut self, input: &PictureInput) -> Outcome<Found> {
        match input {
            PictureInput::Id(id) => Ok(Found {
                picture: self.kept.picture(id).ok_or_else(picture_not_found)?,
                id: id.clone(),
                encoding: Duration::ZERO,
            }),
            PictureInput::File(file) => {
                let name = media::shown_name(file.name.as_deref(), "asked about");
                let bytes = media::bytes(&file.data, "picture")?;
                self.encoded(&bytes, &name, "picture").await
            }
        }
    }

    /// Replaces points of a prompt by the box of the mask that they mean.
    async fn point(
        &self,
        input: &QuestionInput,
        picture: &EncodedPicture,
        mut prompt: Prompt,
    ) -> Outcome<Prompt> {
        for (i, reference) in input.references.iter().enumerate() {
            let field = format!("references[{i}]");
            let Some(asked) = reference.point_prompt(picture.size(), &field)? else {
                continue;
            };
            let prompts = [asked];
            let choice = anyref_api::CandidateChoice::Best.multimask();
            let predicted = self.engine.prompt_masks_async(picture, &prompts, choice);
            prompt.references[i] = region(&predicted.await?.remove(0), &field)?;
        }
        Ok(prompt)
    }

    async fn asked(
        &self,
        goal: Goal,
        input: &QuestionInput,
        picture: &EncodedPicture,
        mut prompt: Prompt,
        on_text: OnPiece<'_>,
    ) -> Outcome<Given> {
        let locate = goal == Goal::Describe && input.masks != MaskFormat::None;
        let goal = match input.choose {
            Some(Choice::Likeliest) => likeliest(goal, &mut prompt),
            _ => goal,
        };
        let mut answer = self.answer(picture, &prompt, goal, on_text).await?;
        if locate && answer.masks.is_empty() && !prompt.references.is_empty() {
            let prompt = Prompt::new(prompt.references);
            let located = self
                .answer(picture, &prompt, Goal::Segment, &mut |_| {})
                .await?;
            answer.masks = located.masks;
            answer.doubtful = located.doubtful;
            answer.timing += located.timing;
        }
        Ok(Given {
            answer,
            explanations: None,
            conversation: None,
        })
    }

    async fn answer(
        &self,
        picture: &EncodedPicture,
        prompt: &Prompt,
        goal: Goal,
        on_text: OnPiece<'_>,
    ) -> Outcome<Answer> {
        let request = Request {
            picture,
            prompt,
            goal,
        };
        let mut heard = |_: usize, text: &str| {
            on_text(text);
            ControlFlow::Continue(())
        };
        let (requests, cancel) = ([request], Cancel::new());
        let answers = self.engine.answer_async(&requests, &mut heard, &cancel);
        Ok(answers.await.remove(0)?)
    }

    async fn explained(&self, picture: &EncodedPicture, prompt: &Prompt) -> Outcome<Given> {
        let cancel = Cancel::new();
        let explained = self.engine.explain_async(picture, prompt, &cancel);
        let (answer, explanations) = explained.await?;
        Ok(Given {
            answer,
            explanations: Some(explanations),
            conversation: None,
        })
    }

    async fn chat_turn(
        &mut self,
        input: &QuestionInput,
        found: Found,
        prompt: Prompt,
        on_text: OnPiece<'_>,
    ) -> Outcome<Given> {
        let mut dialogue = match &input.conversation {
            Some(id) => self.kept.take_dialogue(id).ok_or_else(no_conversation)?,
            None => Dialogue::new(found.picture),
        };
        let mut heard = |text: &str| {
            on_text(text);
            ControlFlow::Continue(())
        };
        let cancel = Cancel::new();
        let answered = self
            .engine
            .chat_async(&mut dialogue, prompt, &mut heard, &cancel)
            .await;
        // An error leaves the dialogue unchanged, for another attempt.
        let kept = answered.is_ok() || input.conversation.is_some();
        let id = input.conversation.clone();
        let id = kept.then(|| self.kept.keep_dialogue(id, dialogue));
        Ok(Given {
            answer: answered?,
            explanations: None,
            conversation: id,
        })
    }
}

fn no_conversation() -> Problem {
    let message = "there is no such conversation, or it made room for others: begin anew";
    Problem::bad("conversation_not_found", message).at("conversation")
}
