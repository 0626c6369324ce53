//! Serves a model on a free port, and asks it over HTTP like any client.
//!
//! ```sh
//! cargo run --release -p anyref-server --example serve_questions
//! cargo run --release -p anyref-server --example serve_questions -- MODEL PICTURE WORDS
//! ```
//!
//! Without arguments the shipped model is asked about a bundled scene. A server of your own ends by
//! a signal instead: `server.serve(listener, tokio::signal::ctrl_c())`, mapped to `()`.

use std::error::Error;
use std::sync::Arc;

use anyref_core::{EngineOptions, ModelSource, load_engine};
use anyref_server::{Limits, ServedModel, Server, ServerOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut or = |usual: &str| arguments.next().unwrap_or_else(|| usual.to_owned());
    let model = or("assets/nano");
    let (picture, words) = (or("assets/demo/scene1.jpg"), or("the gorilla"));

    // The engine is loaded at the start, and again should its device fail.
    let options = EngineOptions::new(ModelSource::Path(model.into()));
    let model = ServedModel::new(Arc::new(move || load_engine(&options)));
    let limits = Limits {
        queue: 64,
        batch: 8,
        ..Limits::default()
    };
    let options = ServerOptions {
        limits,
        ..ServerOptions::default()
    };
    let server = Server::start(vec![model], options)?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    println!("{} answers on {address}", server.model());

    // It ends when its client has; running requests may finish.
    let (end, ended) = oneshot::channel::<()>();
    let client = tokio::task::spawn_blocking(move || {
        let answer = ask(&address, &picture, &words);
        drop(end);
        answer
    });
    let ended = async {
        let _ = ended.await;
    };
    server.serve(listener, ended).await?;

    let answer = client.await??;
    println!("{}", answer["text"]);
    for mask in answer["masks"].as_array().into_iter().flatten() {
        println!(
            "  {} pixels in {}, IoU estimated {:.2}",
            mask["area"],
            mask["box"],
            mask["score"].as_f64().unwrap_or_default()
        );
    }
    Ok(())
}

/// Uploads a picture, which is encoded once, and asks about it.
fn ask(address: &str, picture: &str, words: &str) -> Result<Value, Failure> {
    let file = std::fs::read(picture)?;
    let uploaded = ureq::post(&format!("{address}/v1/pictures")).send_bytes(&file)?;
    let uploaded: Value = serde_json::from_str(&uploaded.into_string()?)?;
    let question = json!({
        "picture": uploaded["id"],
        "references": [{"type": "text", "text": words}],
        "masks": "rle",
    });
    let answer = ureq::post(&format!("{address}/v1/segment"))
        .set("Content-Type", "application/json")
        .send_bytes(question.to_string().as_bytes())?;
    Ok(serde_json::from_str(&answer.into_string()?)?)
}
