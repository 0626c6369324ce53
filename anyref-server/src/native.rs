//! Native API of the project.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyref_api::media;
use anyref_api::{
    AnswerOutput, Choice, Failure, MaskFormat, ModelDetail, Outcome, Problem, QuestionInput,
    check_fit, likeliest, milliseconds, picture_not_found, region,
};
use anyref_core::{Answer, Dialogue, Explanation, Goal, Multimask, Prompt};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::address::{GivenPath, GivenQuery, path, query};
use crate::body::json;
use crate::models::Hosted;
use crate::pictures::PictureId;
use crate::queue::Client;
use crate::state::{Found, State, blocking};
use crate::streaming::{Event, stream};
use crate::work::{Asked, Pieces, Work};

/// Uploaded picture.
#[derive(Debug, Serialize, ToSchema)]
pub struct PictureOutput {
    /// Identifier, for questions; equal for equal files.
    pub id: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Memory of its features in bytes.
    pub bytes: u64,
    /// Timing of the upload.
    pub timing_ms: PictureTiming,
}

/// Timing of an upload in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub struct PictureTiming {
    /// Encoding; 0 if it was encoded before.
    pub image: f64,
}

impl PictureOutput {
    fn new(found: &Found) -> Self {
        let (width, height) = found.picture.size();
        Self {
            id: found.id.as_str().to_owned(),
            width,
            height,
            bytes: found.picture.bytes(),
            timing_ms: PictureTiming {
                image: milliseconds(found.encoding),
            },
        }
    }
}

/// Name of an uploaded file, and the model that it is for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Named {
    name: Option<String>,
    model: Option<String>,
}

/// Model that a request about a picture is for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct OfModel {
    model: Option<String>,
}

/// Uploads a picture, which is encoded once for all questions.
///
/// The body is the file itself: PNG, JPEG, WebP, GIF, BMP, TIFF or PNM. It is kept as long as there
/// is room; a question about a picture that was dropped is answered with 404 `picture_not_found`.
#[utoipa::path(post, path = "/v1/pictures",
    params(
        ("name" = Option<String>, Query, description = "Name of the file, for messages"),
        ("model" = Option<String>, Query, description = "Model of `/v1/models` that encodes it; the first one by default"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, description = "The picture is encoded.", body = PictureOutput),
        (status = 400, description = "The file cannot be read.", body = Failure),
        (status = 413, description = "The file is too large.", body = Failure),
        (status = 503, description = "Too many requests wait; try again after `Retry-After` seconds.", body = Failure),
    ))]
pub(crate) async fn upload(
    Shared(state): Shared<Arc<State>>,
    Extension(client): Extension<Client>,
    named: GivenQuery<Named>,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Response> {
    // Read before anything is refused: many clients hear no answer until they have sent their file.
    let uploaded = state
        .uploads
        .read(&headers, body, &state.options.limits)
        .await?;
    let named = query(named)?;
    let model = state.models.find(named.model.as_deref())?;
    let name = media::shown_name(named.name.as_deref(), "uploaded");
    let file = uploaded.bytes.to_vec();
    let found = state.encoded(model, &client, file, &name, "body").await?;
    Ok((StatusCode::CREATED, Json(PictureOutput::new(&found))).into_response())
}

/// Describes an uploaded picture.
#[utoipa::path(get, path = "/v1/pictures/{id}",
    params(
        ("id" = String, Path, description = "Identifier of the picture"),
        ("model" = Option<String>, Query, description = "Model that it was uploaded for"),
    ),
    responses(
        (status = 200, description = "The picture is cached.", body = PictureOutput),
        (status = 404, description = "The picture is not cached.", body = Failure),
    ))]
pub(crate) async fn picture(
    Shared(state): Shared<Arc<State>>,
    id: GivenPath,
    of: GivenQuery<OfModel>,
) -> Outcome<Json<PictureOutput>> {
    let id = PictureId::given(&path(id)?);
    let model = state.models.find(query(of)?.model.as_deref())?;
    let picture = model.queue.pictures.get(&id)?;
    let encoding = Duration::ZERO;
    Ok(Json(PictureOutput::new(&Found {
        id,
        picture,
        encoding,
    })))
}

/// Deletes an uploaded picture, and the conversations about it.
#[utoipa::path(delete, path = "/v1/pictures/{id}",
    params(
        ("id" = String, Path, description = "Identifier of the picture"),
        ("model" = Option<String>, Query, description = "Model that it was uploaded for"),
    ),
    responses(
        (status = 204, description = "The picture is deleted."),
        (status = 404, description = "The picture was not cached.", body = Failure),
    ))]
pub(crate) async fn forget(
    Shared(state): Shared<Arc<State>>,
    id: GivenPath,
    of: GivenQuery<OfModel>,
) -> Outcome<StatusCode> {
    let id = PictureId::given(&path(id)?);
    let model = state.models.find(query(of)?.model.as_deref())?;
    let found = model.queue.pictures.remove(&id);
    model.queue.conversations.forget(&[id]);
    match found {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(picture_not_found()),
    }
}

/// Answers with a sentence, and masks of the objects that the references and the question mean.
///
/// By default the best of several answers is given, all at once; with `"choose": "likeliest"` its
/// words can be streamed as they are generated.
#[utoipa::path(post, path = "/v1/segment", request_body = QuestionInput,
    responses(
        (status = 200, description = "The answer, or its events where `stream` is set.", body = AnswerOutput),
        (status = 400, description = "The question cannot be asked.", body = Failure),
        (status = 404, description = "The picture is no longer cached.", body = Failure),
        (status = 413, description = "The body, a picture or a sound is too large.", body = Failure),
        (status = 503, description = "Too many requests wait; try again after `Retry-After` seconds.", body = Failure),
    ))]
pub(crate) async fn segment(
    shared: Shared<Arc<State>>,
    client: Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Response> {
    question(shared, client, headers, body, Goal::Segment).await
}

/// Describes the content of a box in words, with its mask.
#[utoipa::path(post, path = "/v1/describe", request_body = QuestionInput,
    responses(
        (status = 200, description = "The answer, or its events where `stream` is set.", body = AnswerOutput),
        (status = 400, description = "The question cannot be asked.", body = Failure),
        (status = 404, description = "The picture is no longer cached.", body = Failure),
        (status = 503, description = "Too many requests wait; try again after `Retry-After` seconds.", body = Failure),
    ))]
pub(crate) async fn describe(
    shared: Shared<Arc<State>>,
    client: Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Response> {
    question(shared, client, headers, body, Goal::Describe).await
}

/// Answers the next turn of a conversation, with the likeliest answer.
///
/// The answer's `conversation` continues it in the next question. The model reads as many earlier
/// turns as its configuration allows; nano reads none.
#[utoipa::path(post, path = "/v1/chat", request_body = QuestionInput,
    responses(
        (status = 200, description = "The answer, or its events where `stream` is set.", body = AnswerOutput),
        (status = 400, description = "The question cannot be asked.", body = Failure),
        (status = 404, description = "The picture or the conversation is no longer cached.", body = Failure),
        (status = 409, description = "The previous turn is still being answered.", body = Failure),
        (status = 503, description = "Too many requests wait; try again after `Retry-After` seconds.", body = Failure),
    ))]
pub(crate) async fn chat(
    shared: Shared<Arc<State>>,
    client: Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Response> {
    question(shared, client, headers, body, Goal::Chat).await
}

async fn question(
    Shared(state): Shared<Arc<State>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
    goal: Goal,
) -> Outcome<Response> {
    let start = Instant::now();
    let uploaded = state
        .uploads
        .read(&headers, body, &state.options.limits)
        .await?;
    let input: QuestionInput = json(&headers, &uploaded.bytes)?;
    drop(uploaded);
    input.check_goal(goal)?;
    input.check(&state.options.limits.question)?;
    if !input.stream {
        let answer = answer(&state, &client, input, goal, None, start).await?;
        return Ok(Json(answer).into_response());
    }
    Ok(stream(input.masks, move |pieces| async move {
        let answer = answer(&state, &client, input, goal, Some(pieces), start).await;
        vec![match answer {
            Ok(answer) => Event::named("final", &answer),
            Err(problem) => Event::named("error", &problem.failure()),
        }]
    }))
}

/// Answer with its timing, before serialisation.
struct Given {
    answer: Answer,
    explanations: Option<Vec<Explanation>>,
    conversation: Option<String>,
}

async fn answer(
    state: &State,
    client: &Client,
    input: QuestionInput,
    goal: Goal,
    pieces: Option<Pieces>,
    start: Instant,
) -> Outcome<AnswerOutput> {
    let model = state.models.find(input.model.as_deref())?;
    let coming = model.queue.coming();
    let limits = state.options.limits.question.clone();
    let read = blocking(move || Ok((input.prompt(&limits)?, input)));
    let (prompt, input) = read.await?;
    drop(coming);
    let found = state.picture(model, client, &input.picture).await?;
    let prompt = point(model, client, &input, &found, prompt).await?;
    check_fit(&prompt, found.picture.size())?;
    let format = input.masks;
    let encoding = found.encoding;
    let given = match goal {
        Goal::Chat => chat_turn(model, client, &input, found, prompt, pieces).await?,
        _ if input.explain => explained(model, client, found, prompt).await?,
        _ => asked(model, client, &input, goal, found, prompt, pieces).await?,
    };
    let model = model.name.clone();
    let total = start.elapsed();
    blocking(move || Ok(written(&model, &given, format, encoding, total))).await
}

fn written(
    model: &str,
    given: &Given,
    format: MaskFormat,
    encoding: Duration,
    total: Duration,
) -> AnswerOutput {
    let mut output = AnswerOutput::new(model, &given.answer, format, encoding, total);
    output.conversation.clone_from(&given.conversation);
    match &given.explanations {
        Some(explanations) => output.explained(explanations, format),
        None => output,
    }
}

/// Replaces points of a prompt by the box of the mask that they mean.
pub(crate) async fn point(
    model: &Hosted,
    client: &Client,
    input: &QuestionInput,
    found: &Found,
    mut prompt: Prompt,
) -> Outcome<Prompt> {
    for (i, reference) in input.references.iter().enumerate() {
        let field = format!("references[{i}]");
        let Some(asked) = reference.point_prompt(found.picture.size(), &field)? else {
            continue;
        };
        let picture = found.picture.clone();
        let work = |reply| Work::Masks(picture, asked, Multimask::WhereAmbiguous, reply);
        let predicted = model.queue.ask(client, work).await?;
        prompt.references[i] = region(&predicted, &field)?;
    }
    Ok(prompt)
}

async fn asked(
    model: &Hosted,
    client: &Client,
    input: &QuestionInput,
    goal: Goal,
    found: Found,
    mut prompt: Prompt,
    pieces: Option<Pieces>,
) -> Outcome<Given> {
    let locate = goal == Goal::Describe && input.masks != MaskFormat::None;
    let goal = match input.choose {
        Some(Choice::Likeliest) => likeliest(goal, &mut prompt),
        _ => goal,
    };
    let asked = Box::new(Asked {
        picture: found.picture,
        prompt,
        goal,
        locate,
        pieces,
        most_pieces: None,
    });
    let answer = model
        .queue
        .ask(client, |reply| Work::Ask(asked, reply))
        .await?;
    Ok(Given {
        answer,
        explanations: None,
        conversation: None,
    })
}

async fn explained(
    model: &Hosted,
    client: &Client,
    found: Found,
    prompt: Prompt,
) -> Outcome<Given> {
    let work = |reply| Work::Explain(found.picture, prompt, reply);
    let (answer, explanations) = model.queue.ask(client, work).await?;
    Ok(Given {
        answer,
        explanations: Some(explanations),
        conversation: None,
    })
}

async fn chat_turn(
    model: &Hosted,
    client: &Client,
    input: &QuestionInput,
    found: Found,
    prompt: Prompt,
    pieces: Option<Pieces>,
) -> Outcome<Given> {
    let conversations = &model.queue.conversations;
    let mut taken = match &input.conversation {
        Some(id) => conversations.take(id, &found.id)?,
        None => conversations.begin(found.id, Dialogue::new(found.picture)),
    };
    let dialogue = taken.dialogue().ok_or_else(Problem::engine_failed)?;
    let work = |reply| Work::Chat(Box::new(dialogue), prompt, pieces, reply);
    let (dialogue, answer) = model.queue.ask(client, work).await?;
    let id = taken.id().to_owned();
    // An error leaves the dialogue unchanged, for another attempt.
    if answer.is_ok() || input.conversation.is_some() {
        taken.keep(dialogue);
    }
    Ok(Given {
        answer: answer?,
        explanations: None,
        conversation: Some(id),
    })
}

/// List of served models, which has one entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// Constant `list`.
    pub object: &'static str,
    /// Served models.
    pub data: Vec<ModelOutput>,
}

/// Model in the form of OpenAI's API.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelOutput {
    /// Name of the model.
    pub id: String,
    /// Constant `model`.
    pub object: &'static str,
    /// Start of the server, in seconds since 1970.
    pub created: u64,
    /// Constant `anyref`.
    pub owned_by: &'static str,
    /// Whether it is loaded now; else it is when it is asked.
    pub loaded: bool,
    /// More about it, as it was loaded last; none before the first time.
    pub anyref: Option<ModelDetail>,
}

/// Lists the models.
#[utoipa::path(get, path = "/v1/models",
    responses((status = 200, description = "The models.", body = ModelList)))]
pub(crate) async fn models(Shared(state): Shared<Arc<State>>) -> Json<ModelList> {
    let since = std::time::SystemTime::now() - state.started.elapsed();
    let since = since.duration_since(std::time::UNIX_EPOCH);
    let created = since.map_or(0, |time| time.as_secs());
    let output = |model: &Arc<Hosted>| ModelOutput {
        id: model.name.clone(),
        object: "model",
        created,
        owned_by: "anyref",
        loaded: model.queue.resident() > 0,
        anyref: model
            .queue
            .info()
            .map(|info| ModelDetail::new(&info, &model.known)),
    };
    Json(ModelList {
        object: "list",
        data: state.models.all().iter().map(output).collect(),
    })
}
