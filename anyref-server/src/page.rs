//! Files of the page, of the API's description, and of the bundled scenes.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Names and contents of files of the workspace.
macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), $folder, $name)) as &[u8])),*]
    };
}

const PAGE: &[(&str, &[u8])] = files!["/assets/page/":
    "docs.html" "docs.js" "icon.svg" "index.html" "page.js" "style.css"
];

const DEMO: &[(&str, &[u8])] = files!["/../assets/demo/":
    "demo.json"
    "scene1-3-1.png" "scene1-4-1.wav" "scene1.jpg"
    "scene2-3-1.png" "scene2-4-1.wav" "scene2-5-1.png" "scene2.jpg"
    "scene3-3-1.png" "scene3-4-1.wav" "scene3-5-1.png" "scene3.jpg"
    "scene4-3-1.png" "scene4-4-1.wav" "scene4-5-1.wav" "scene4-5-2.wav" "scene4-6-1.wav" "scene4.jpg"
    "scene5-3-1.png" "scene5-4-1.wav" "scene5-5-1.wav" "scene5-6-1.png" "scene5.jpg"
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

/// Serves a file of the bundled scenes.
pub(crate) async fn demo(Path(name): Path<String>) -> Response {
    file(DEMO, &name)
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
