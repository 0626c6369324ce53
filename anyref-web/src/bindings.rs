//! Bindings of the session for JavaScript. Requests and answers are the API's JSON, as text.

use anyref_api::{Failure, Outcome, Problem, one_line};
use anyref_core::{Goal, ModelFiles};
use js_sys::{Function, JsString};
use send_wrapper::SendWrapper;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use crate::device_errors;
use crate::session::Session;

#[wasm_bindgen]
extern "C" {
    /// Writes a line to the browser's console.
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(line: &str);
}

/// Starts the device that models are computed on; awaited before the first [`WebSession`]. Built
/// with the feature `webgpu`, the module panics in a browser without WebGPU. An error of the GPU is
/// thrown by the call that follows it.
#[wasm_bindgen]
pub async fn start() {
    console_error_panic_hook::set_once();
    device_errors::listen(console_error);
    #[cfg(all(feature = "webgpu", target_family = "wasm"))]
    anyref_core::start_in_browser().await;
}

/// Model in a worker. Each call waits for the one before.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WebSession {
    session: Session,
}

/// Facts about the model, as in the API's list of models.
#[derive(Serialize)]
struct Info {
    id: String,
    anyref: anyref_api::ModelDetail,
}

#[wasm_bindgen]
impl WebSession {
    /// Loads a model from its files; `known` has the names of its objects, one a line. The weights
    /// stay in memory as long as the worker does.
    ///
    /// # Errors
    /// When the files are damaged, as a sentence.
    #[wasm_bindgen(constructor)]
    pub fn new(
        config: &[u8],
        tokenizer: &[u8],
        weights: Vec<u8>,
        known: &str,
    ) -> Result<WebSession, JsError> {
        let files = ModelFiles {
            config: config.to_vec().leak(),
            tokenizer: tokenizer.to_vec().leak(),
            weights: weights.leak(),
        };
        let session = Session::load(files, known);
        let session = session.map_err(|error| JsError::new(&one_line(&error.to_string())))?;
        Ok(Self { session })
    }

    /// Facts about the model, as JSON.
    ///
    /// # Errors
    /// When they cannot be serialised, which does not happen.
    pub fn info(&self) -> Result<String, JsValue> {
        written(Ok(Info {
            id: self.session.name().to_owned(),
            anyref: self.session.info(),
        }))
    }

    /// Encodes a picture file.
    ///
    /// # Errors
    /// A failure of the API, as JSON.
    pub async fn encode(&mut self, file: Vec<u8>) -> Result<String, JsValue> {
        written(self.session.encode(&file).await)
    }

    /// Answers a question of `segment`, `describe` or `chat`; `on_text` is called with pieces of
    /// the answer.
    ///
    /// # Errors
    /// A failure of the API, as JSON.
    pub async fn ask(
        &mut self,
        goal: String,
        question: String,
        on_text: Function,
    ) -> Result<String, JsValue> {
        // The worker has a single thread.
        let on_text = SendWrapper::new(on_text);
        let mut heard = move |text: &str| {
            // An error of the listener is its own.
            let _ = on_text.call1(&JsValue::NULL, &JsString::from(text));
        };
        let answer = async {
            let goal = goal_named(&goal)?;
            let question = read(&question)?;
            self.session.ask(goal, &question, &mut heard).await
        };
        written(answer.await)
    }

    /// Predicts masks for points, a box or an earlier mask.
    ///
    /// # Errors
    /// A failure of the API, as JSON.
    pub async fn masks(&mut self, prompt: String) -> Result<String, JsValue> {
        let answer = async { self.session.masks(&read(&prompt)?).await };
        written(answer.await)
    }
}

fn goal_named(name: &str) -> Outcome<Goal> {
    match name {
        "segment" => Ok(Goal::Segment),
        "describe" => Ok(Goal::Describe),
        "chat" => Ok(Goal::Chat),
        _ => Err(Problem::bad("goal", "ask segment, describe or chat")),
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Outcome<T> {
    serde_json::from_str(json).map_err(|error| Problem::bad("json", error.to_string()))
}

/// JSON of a result, or of its failure. A result of a GPU that failed is none.
fn written<T: Serialize>(outcome: Outcome<T>) -> Result<String, JsValue> {
    if let Some(error) = device_errors::take() {
        return Err(JsError::new(&one_line(&error)).into());
    }
    let text = |json: serde_json::Result<String>| {
        json.map_err(|error| JsValue::from(JsError::new(&error.to_string())))
    };
    match outcome {
        Ok(value) => text(serde_json::to_string(&value)),
        // As a fault, after which the page starts another worker.
        Err(problem) if problem.code == Problem::engine_failed().code => {
            Err(JsError::new("The device failed while it computed.").into())
        }
        Err(problem) => {
            let failure: Failure = problem.failure();
            Err(text(serde_json::to_string(&failure))?.into())
        }
    }
}
