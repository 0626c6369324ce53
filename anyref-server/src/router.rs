//! Routes and the layers around them.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use anyref_api::{Outcome, Problem};
use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State as Shared};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::access::{self, Rules};
use crate::openapi::openapi;
use crate::queue::Status;
use crate::request_log::{REQUEST_ID, identify};
use crate::state::State;
use crate::{masks, native, openai, page};

/// Headers of every response. Scripts and styles are allowed from the server itself only.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
         media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "microphone=(self), camera=(), geolocation=()",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Router with all routes.
pub(crate) fn router(state: Arc<State>, rules: Arc<Rules>) -> Router {
    let asked = Router::new()
        .route("/v1/models", get(native::models))
        .route("/v1/pictures", post(native::upload))
        .route(
            "/v1/pictures/{id}",
            get(native::picture).delete(native::forget),
        )
        .route("/v1/masks", post(masks::masks))
        .route("/v1/segment", post(native::segment))
        .route("/v1/describe", post(native::describe))
        .route("/v1/chat", post(native::chat))
        .route("/v1/chat/completions", post(openai::completions))
        .route("/metrics", get(metrics))
        // Inside the layers, so that other origins may ask for the allowed methods.
        .method_not_allowed_fallback(other_method)
        .layer(from_fn_with_state(rules.clone(), access::token))
        // Pages of other allowed origins.
        .layer(cors(&state.options.access.origins));
    let open = Router::new()
        .route("/", get(page::index))
        .route("/{file}", get(page::page))
        .route("/demo/{file}", get(page::demo))
        .route("/docs", get(page::docs))
        .route("/openapi.json", get(|| async { Json(openapi()) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(other_method);
    let mut router = asked
        .merge(open)
        .fallback(nothing)
        .layer(from_fn_with_state(rules, access::source))
        .layer(CatchPanicLayer::custom(fault))
        // Bodies are limited where they are read.
        .layer(DefaultBodyLimit::disable());
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        router = router.layer(SetResponseHeaderLayer::if_not_present(name, value));
    }
    router
        .layer(from_fn_with_state(state.clone(), observe))
        .layer(from_fn(identify))
        .with_state(state)
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| origin.parse().ok())
        .collect();
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER, REQUEST_ID])
}

/// Reports whether questions are answered now.
async fn ready(Shared(state): Shared<Arc<State>>) -> Outcome<&'static str> {
    match state.models.default_model().queue.status() {
        Status::Ready => Ok("ready\n"),
        Status::Restarting => Err(Problem::engine_failed()),
        Status::Closing => Err(Problem::later("closing", "the server is ending", 5)),
    }
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.text()).into_response()
}

async fn nothing() -> Problem {
    page::nothing()
}

async fn other_method() -> Problem {
    let message = "this address takes another method: see /docs";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", message)
}

fn fault(panic: Box<dyn Any + Send + 'static>) -> Response {
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or(panic.downcast_ref::<&str>().copied());
    log::error!("a fault in the server: {}", said.unwrap_or("unknown"));
    let message = "a fault in the server: see its log";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", message).into_response()
}

/// Counts a request and its time.
async fn observe(Shared(state): Shared<Arc<State>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("other", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    state.metrics.answered(&route, status, start.elapsed());
    response
}
