//! The page, the API's description, and the scenes that it offers.

use std::sync::Arc;

use anyref_api::{Outcome, Problem};
use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::address::{GivenPath, path};
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
pub(crate) async fn index() -> Outcome<Response> {
    file(PAGE, "index.html")
}

/// Serves the description of the API for people.
pub(crate) async fn docs() -> Outcome<Response> {
    file(PAGE, "docs.html")
}

/// Serves a file of the page.
pub(crate) async fn page(name: GivenPath) -> Outcome<Response> {
    file(PAGE, &path(name)?)
}

/// A file of the scenes.
pub(crate) async fn demo(Shared(state): Shared<Arc<State>>, name: GivenPath) -> Outcome<Response> {
    file(state.options.scenes, &path(name)?)
}

/// Answer where there is nothing.
pub(crate) fn nothing() -> Problem {
    let message = "there is nothing here: /docs lists what there is";
    Problem::new(StatusCode::NOT_FOUND, "not_found", message)
}

fn file(files: &'static [(&str, &[u8])], name: &str) -> Outcome<Response> {
    let Some((_, content)) = files.iter().find(|(file, _)| *file == name) else {
        return Err(nothing());
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
    Ok(response)
}
