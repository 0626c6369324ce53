//! The page, the API's description, and the scenes that it offers.

use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::state::State;

/// Names and contents of the page's files.
macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../assets/page/", $name)) as &[u8])),*]
    };
}

static PAGE: &[(&str, &[u8])] = files![
    "docs.html" "docs.js" "icon.svg" "index.html" "page.js" "style.css"
];

/// Serves the page.
pub(crate) async fn index() -> Response {
    file(PAGE, "index.html")
}

/// Serves the description of the API for people.
pub(crate) async fn docs() -> Response {
    file(PAGE, "docs.html")
}

/// Serves a file of the page.
pub(crate) async fn page(Path(name): Path<String>) -> Response {
    file(PAGE, &name)
}

/// A file of the scenes.
pub(crate) async fn demo(Shared(state): Shared<Arc<State>>, Path(name): Path<String>) -> Response {
    file(state.options.scenes, &name)
}

fn file(files: &'static [(&str, &[u8])], name: &str) -> Response {
    let Some((_, content)) = files.iter().find(|(file, _)| *file == name) else {
        return (StatusCode::NOT_FOUND, "there is nothing here\n").into_response();
    };
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg") => "image/jpeg",
        _ => "audio/wav",
    };
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
