//! Masks for points and boxes, without words.

use std::sync::Arc;
use std::time::Instant;

use anyref_api::{Failure, MaskAnswer, MaskRequest, Outcome};
use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, State as Shared};
use axum::http::HeaderMap;

use crate::body::json;
use crate::queue::Client;
use crate::state::{State, blocking};
use crate::work::Work;

/// Predicts masks for points, a box or an earlier mask by the model's own SAM.
#[utoipa::path(post, path = "/v1/masks", request_body = MaskRequest,
    responses(
        (status = 200, description = "The masks.", body = MaskAnswer),
        (status = 400, description = "The prompt cannot be answered.", body = Failure),
        (status = 404, description = "The picture is no longer cached.", body = Failure),
        (status = 503, description = "Too many requests wait; try again after `Retry-After` seconds.", body = Failure),
    ))]
pub(crate) async fn masks(
    Shared(state): Shared<Arc<State>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Outcome<Json<MaskAnswer>> {
    let start = Instant::now();
    let uploaded = state
        .uploads
        .read(&headers, body, &state.options.limits)
        .await?;
    let input: MaskRequest = json(&headers, &uploaded.bytes)?;
    drop(uploaded);
    let prompt = input.prompt()?;
    let model = state.models.find(input.model.as_deref())?;
    let found = state.picture(model, &client, &input.picture).await?;
    prompt.fits(found.picture.size())?;
    let multimask = input.candidates.multimask();
    let picture = found.picture;
    let work = |reply| Work::Masks(picture, prompt, multimask, reply);
    let predicted = model.queue.ask(&client, work).await?;
    let model = model.name.clone();
    let (candidates, format) = (input.candidates, input.masks);
    let encoding = found.encoding;
    let write = move || {
        let total = start.elapsed();
        Ok(MaskAnswer::new(
            &model, predicted, candidates, format, encoding, total,
        ))
    };
    Ok(Json(blocking(write).await?))
}
