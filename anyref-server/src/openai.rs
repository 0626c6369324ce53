//! API for OpenAI's clients.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyref_api::{
    AnswerOutput, Choice, EarlyMaskOutput, Failure, FileInput, MaskFormat, Outcome, PictureInput,
    Problem, QuestionInput, ReferenceInput, check_fit,
};
use anyref_core::{Answer, Goal, Prompt, next_placeholder};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State as Shared};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::json;
use crate::native::point;
use crate::queue::Client;
use crate::state::{State, blocking};
use crate::streaming::{Event, Part, stream_with};
use crate::work::{Asked, Pieces, Work};

/// Request of OpenAI's clients.
///
/// The first picture of the conversation is the one asked about. Further pictures and sounds are
/// references, `{1}`, `{2}` … in their order, after those of `anyref.references`; a text without
/// these numbers gets them at its end. Of earlier turns only their picture counts. Unlisted fields,
/// such as `temperature`, are ignored: the server's own options apply.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct CompletionInput {
    /// Name of the model, as in `/v1/models`; any other is refused.
    pub model: String,
    /// Messages of the conversation.
    pub messages: Vec<MessageInput>,
    /// Whether the answer is sent in chunks.
    #[serde(default)]
    pub stream: bool,
    /// Largest number of tokens in the answer.
    pub max_tokens: Option<usize>,
    /// Newer name of `max_tokens`.
    pub max_completion_tokens: Option<usize>,
    /// Number of answers; must be 1.
    pub n: Option<usize>,
    /// Fields beyond OpenAI's API.
    #[serde(default)]
    pub anyref: ExtraInput,
}

/// Fields beyond OpenAI's API; clients send them by `extra_body`.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtraInput {
    /// References before those of the messages, such as boxes.
    #[serde(default)]
    pub references: Vec<ReferenceInput>,
    /// Format of the masks.
    #[serde(default)]
    pub masks: MaskFormat,
    /// Choice of the answer: by default the best of several, or the likeliest when streamed or with
    /// a limit on its tokens.
    pub choose: Option<Choice>,
}

/// Message of a conversation.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct MessageInput {
    /// `user`, `assistant` or `system`.
    pub role: String,
    /// Text, or parts.
    pub content: Option<ContentInput>,
}

/// Content of a message.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ContentInput {
    /// Text alone.
    Text(String),
    /// Parts in order.
    Parts(Vec<ContentPart>),
}

/// Part of a message.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentPart {
    /// Text.
    Text {
        /// Text of the part.
        text: String,
    },
    /// Picture.
    ImageUrl {
        /// Picture as a `data:` URL. Other addresses are not fetched.
        image_url: ImageUrl,
    },
    /// Sound.
    InputAudio {
        /// Sound of the part.
        input_audio: InputAudio,
    },
}

/// Picture.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct ImageUrl {
    /// Picture as a `data:` URL.
    pub url: String,
}

/// Sound.
#[derive(Debug, Clone, Deserialize, ToSchema)]
pub struct InputAudio {
    /// File in Base64. The format is detected from the content.
    pub data: String,
}

/// Answer in the form of OpenAI's API.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompletionOutput {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: Vec<ChoiceOutput>,
}

/// Answer, whole or in chunks.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChoiceOutput {
    index: usize,
    /// Message of a whole answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageOutput>,
    /// Piece of a message, in a chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<MessageOutput>,
    finish_reason: Option<&'static str>,
}

/// Message of the model.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct MessageOutput {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// Sentence in parts, masks and timing.
    #[serde(skip_serializing_if = "Option::is_none")]
    anyref: Option<AnswerOutput>,
    /// Mask that is sent as soon as it is known, in a chunk of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    anyref_mask: Option<EarlyMaskOutput>,
}

/// Answers as OpenAI's API does. Masks are in `choices[0].message.anyref`, or when streamed in the
/// last chunk's `choices[0].delta.anyref`.
#[utoipa::path(post, path = "/v1/chat/completions", request_body = CompletionInput,
    responses(
        (status = 200, description = "The answer, or its chunks where `stream` is set.", body = CompletionOutput),
        (status = 400, description = "The question cannot be asked.", body = Failure),
        (status = 503, description = "Too many requests wait; try again after `Retry-After` seconds.", body = Failure),
    ))]
pub(crate) async fn completions(
    Shared(state): Shared<Arc<State>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Response> {
    let start = Instant::now();
    let uploaded = state
        .uploads
        .read(&headers, body, &state.options.limits)
        .await?;
    let input: CompletionInput = json(&headers, &uploaded.bytes)?;
    drop(uploaded);
    let model = state.models.find(Some(&input.model))?.name.clone();
    if input.n.is_some_and(|n| n != 1) {
        return Err(Problem::bad("n", "one answer is given: leave `n` out").at("n"));
    }
    let most = input.max_completion_tokens.or(input.max_tokens);
    if most == Some(0) {
        return Err(Problem::bad("max_tokens", "an answer needs at least 1").at("max_tokens"));
    }
    let streamed = input.stream;
    let question = question(input, most.is_some())?;
    question.check(&state.options.limits.question)?;
    let (head, format) = (Head::new(model), question.masks);
    if !streamed {
        let (output, finish) = answer(&state, &client, question, most, None, start).await?;
        let message = MessageOutput {
            role: Some("assistant"),
            content: Some(output.text.clone()),
            anyref: Some(output),
            anyref_mask: None,
        };
        let choice = ChoiceOutput {
            index: 0,
            message: Some(message),
            delta: None,
            finish_reason: Some(finish),
        };
        return Ok(Json(head.output("chat.completion", choice)).into_response());
    }
    let chunks = head.clone();
    let work = move |pieces| async move {
        match answer(&state, &client, question, most, Some(pieces), start).await {
            Ok((output, finish)) => {
                let mut events = Vec::new();
                if !head.wrote() {
                    events.push(head.words(output.text.clone()));
                }
                let delta = MessageOutput {
                    anyref: Some(output),
                    ..MessageOutput::default()
                };
                events.push(head.chunk(delta, Some(finish)));
                events.push(Event::done());
                events
            }
            Err(problem) => vec![Event::bare(&problem.failure())],
        }
    };
    Ok(stream_with(format, work, move |part| match part {
        Part::Words(text) => chunks.words(text),
        Part::Mask(mask) => chunks.mask(mask),
    }))
}

/// Fields that the chunks of an answer share.
#[derive(Debug, Clone)]
struct Head {
    id: String,
    created: u64,
    model: String,
    wrote: Arc<std::sync::atomic::AtomicBool>,
}

impl Head {
    fn new(model: String) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            id: format!("chatcmpl-{:032x}", rand::random::<u128>()),
            created: now.map_or(0, |time| time.as_secs()),
            model,
            wrote: Arc::default(),
        }
    }

    fn output(&self, object: &'static str, choice: ChoiceOutput) -> CompletionOutput {
        CompletionOutput {
            id: self.id.clone(),
            object,
            created: self.created,
            model: self.model.clone(),
            choices: vec![choice],
        }
    }

    /// Returns whether text was sent.
    fn wrote(&self) -> bool {
        self.wrote.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Chunk with a piece of text; the first one has the role.
    fn words(&self, text: String) -> Event {
        let first = !self.wrote.swap(true, std::sync::atomic::Ordering::AcqRel);
        let delta = MessageOutput {
            role: first.then_some("assistant"),
            content: Some(text),
            ..MessageOutput::default()
        };
        self.chunk(delta, None)
    }

    /// Chunk with a mask.
    fn mask(&self, mask: EarlyMaskOutput) -> Event {
        let delta = MessageOutput {
            anyref_mask: Some(mask),
            ..MessageOutput::default()
        };
        self.chunk(delta, None)
    }

    fn chunk(&self, delta: MessageOutput, finish_reason: Option<&'static str>) -> Event {
        let choice = ChoiceOutput {
            index: 0,
            message: None,
            delta: Some(delta),
            finish_reason,
        };
        Event::bare(&self.output("chat.completion.chunk", choice))
    }
}

/// Question of a conversation.
fn question(input: CompletionInput, cut: bool) -> Outcome<QuestionInput> {
    let streamed = input.stream;
    let mut picture = None;
    let mut references = input.anyref.references;
    let mut texts: Vec<String> = Vec::new();
    let last = input
        .messages
        .iter()
        .rposition(|message| message.role == "user");
    let Some(last) = last else {
        return Err(
            Problem::bad("no_question", "no message of the user: ask something").at("messages"),
        );
    };
    for (number, message) in input.messages.into_iter().enumerate() {
        let asked = number == last;
        if message.role != "user" {
            continue;
        }
        let parts = match message.content {
            Some(ContentInput::Text(text)) => vec![ContentPart::Text { text }],
            Some(ContentInput::Parts(parts)) => parts,
            None => Vec::new(),
        };
        for part in parts {
            match part {
                ContentPart::Text { text } if asked => texts.push(text),
                ContentPart::Text { .. } => {}
                ContentPart::ImageUrl { image_url } if picture.is_none() => {
                    let (data, name) = (image_url.url, None);
                    picture = Some(PictureInput::File(FileInput { data, name }));
                }
                ContentPart::ImageUrl { image_url } if asked => {
                    references.push(ReferenceInput::Picture {
                        data: image_url.url,
                        name: None,
                        corners: None,
                        mask: None,
                    });
                }
                ContentPart::InputAudio { input_audio } if asked => {
                    let (data, name) = (input_audio.data, None);
                    references.push(ReferenceInput::Sound { data, name });
                }
                ContentPart::ImageUrl { .. } | ContentPart::InputAudio { .. } => {}
            }
        }
    }
    let Some(picture) = picture else {
        let message = "no picture: send one as an image_url with a data: URL";
        return Err(Problem::bad("no_picture", message).at("messages"));
    };
    let choose = match input.anyref.choose {
        Some(choose) => choose,
        None if streamed || cut => Choice::Likeliest,
        None => Choice::Best,
    };
    Ok(QuestionInput {
        model: Some(input.model),
        picture,
        question: asked(&texts.join("\n"), references.len()),
        references,
        masks: input.anyref.masks,
        choose: Some(choose),
        stream: streamed,
        explain: false,
        conversation: None,
    })
}

/// Text with the numbers of all references; `None`, for the default question, if it has no words.
fn asked(text: &str, references: usize) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if references == 0 || next_placeholder(text).is_some() {
        return Some(text.to_owned());
    }
    let numbers: Vec<_> = (1..=references)
        .map(|number| format!("{{{number}}}"))
        .collect();
    Some(format!("{text} {}", numbers.join(" and ")))
}

async fn answer(
    state: &State,
    client: &Client,
    input: QuestionInput,
    most: Option<usize>,
    pieces: Option<Pieces>,
    start: Instant,
) -> Outcome<(AnswerOutput, &'static str)> {
    let model = state.models.find(input.model.as_deref())?;
    let coming = model.queue.coming();
    let limits = state.options.limits.question.clone();
    let (prompt, input): (Prompt, _) =
        blocking(move || Ok((input.prompt(&limits)?, input))).await?;
    drop(coming);
    let found = state.picture(model, client, &input.picture).await?;
    let prompt = point(model, client, &input, &found, prompt).await?;
    check_fit(&prompt, found.picture.size())?;
    let goal = match input.choose {
        Some(Choice::Likeliest) => Goal::Chat,
        _ => Goal::Segment,
    };
    let asked = Box::new(Asked {
        picture: found.picture,
        prompt,
        goal,
        locate: false,
        pieces,
        most_pieces: most,
    });
    let answer: Answer = model
        .queue
        .ask(client, |reply| Work::Ask(asked, reply))
        .await?;
    let finish = match answer.raw.ends_with(['.', '!', '?']) || most.is_none() {
        true => "stop",
        false => "length",
    };
    let model = model.name.clone();
    let (format, encoding, total) = (input.masks, found.encoding, start.elapsed());
    let write = move || Ok(AnswerOutput::new(&model, &answer, format, encoding, total));
    Ok((blocking(write).await?, finish))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_stand_where_a_text_has_them_or_at_its_end() {
        assert_eq!(asked(" ", 2), None);
        assert_eq!(asked("find the dog", 0).unwrap(), "find the dog");
        assert_eq!(asked("find", 2).unwrap(), "find {1} and {2}");
        assert_eq!(asked("find {2} or {1}", 2).unwrap(), "find {2} or {1}");
    }

    #[test]
    fn the_first_picture_is_asked_about_and_the_others_point() {
        let input: CompletionInput = serde_json::from_value(serde_json::json!({
            "model": "nano",
            "temperature": 0.7,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:;base64,AA", "detail": "low"}},
                ]},
                {"role": "assistant", "content": "A dog."},
                {"role": "user", "content": [
                    {"type": "input_audio", "input_audio": {"data": "AQ", "format": "wav"}},
                    {"type": "image_url", "image_url": {"url": "data:;base64,Ag"}},
                    {"type": "text", "text": "Find {2} and {1}"},
                ]},
            ],
        }))
        .unwrap();
        let question = question(input, false).unwrap();
        assert!(
            matches!(question.picture, PictureInput::File(FileInput { data, .. }) if data.ends_with("AA"))
        );
        assert_eq!(question.question.as_deref(), Some("Find {2} and {1}"));
        assert!(matches!(
            question.references[..],
            [ReferenceInput::Sound { .. }, ReferenceInput::Picture { .. }]
        ));
    }
}
