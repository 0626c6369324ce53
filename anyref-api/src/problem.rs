//! Errors of single requests, as JSON.

use anyref_core::Error as ModelError;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Error response, in the form that OpenAI's clients read.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Failure {
    /// Details of the error.
    pub error: FailureDetail,
}

/// Fault of a request, and its remedy.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FailureDetail {
    /// Message for people.
    pub message: String,
    /// `invalid_request_error`, `authentication_error`, `overloaded_error` or `server_error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Code for programs.
    pub code: &'static str,
    /// Invalid field.
    pub param: Option<String>,
}

/// Reason why a request is not answered.
#[derive(Debug, Clone)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Code for programs.
    pub code: &'static str,
    /// Message for people.
    pub message: String,
    /// Invalid field.
    pub param: Option<String>,
    /// Seconds after which a retry makes sense.
    pub retry_after: Option<u32>,
}

/// Result, or the reason why there is none.
pub type Outcome<T> = Result<T, Problem>;

impl Problem {
    /// Creates a problem with a status, a code for programs and a message for people.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            param: None,
            retry_after: None,
        }
    }

    /// Problem of an invalid request.
    pub fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Problem of a request that can be answered after `seconds`.
    pub fn later(code: &'static str, message: impl Into<String>, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    /// No model of this name is served, but those of `names`.
    pub fn no_model(name: &str, names: &[&str]) -> Self {
        let name: String = name.chars().take(64).collect();
        let names = names.join(" or ");
        let message = format!("there is no model {name:?}: ask {names}");
        Self::new(StatusCode::NOT_FOUND, "model_not_found", message).at("model")
    }

    /// Problem of an engine that failed during the request and is being restarted.
    pub fn engine_failed() -> Self {
        let message = "the model failed and is being started again: ask again in a few seconds";
        Self::later("engine_failed", message, 5)
    }

    /// Sets the invalid field.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Converts the problem to an error response.
    pub fn failure(&self) -> Failure {
        let kind = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "authentication_error",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        Failure {
            error: FailureDetail {
                message: self.message.clone(),
                kind,
                code: self.code,
                param: self.param.clone(),
            },
        }
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        use axum::Json;
        use http::{HeaderValue, header};

        let mut response = (self.status, Json(self.failure())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        let message = one_line(&error.to_string());
        match error {
            ModelError::Vision(_) => Self::bad("picture_unreadable", message),
            ModelError::NoAudioEncoder => Self::bad(
                "no_sounds",
                "this model does not hear: leave the sounds out",
            ),
            ModelError::Audio(_) => Self::bad("sound_unreadable", message),
            ModelError::Box { .. } => Self::bad("box_outside", message),
            ModelError::EmptyPrompt => Self::bad("empty_question", message),
            ModelError::Placeholder { .. } => Self::bad("placeholder", message),
            ModelError::Point { .. } => Self::bad("point_outside", message),
            ModelError::ContradictoryPoint { .. } => Self::bad("contradictory_point", message),
            ModelError::EmptyMaskPrompt => Self::bad("empty_mask_prompt", message),
            ModelError::MaskPrompt { .. } => Self::bad("mask_size", message),
            ModelError::NoLanguageModel => {
                let message = "this model makes masks for points and boxes alone: ask /v1/masks";
                Self::bad("no_words", message)
            }
            ModelError::NoMasks => Self::bad("no_masks", message),
            ModelError::NotBridged { .. } => Self::bad("reference_not_taken", message),
            ModelError::MaskSize { .. } => Self::bad("mask_size", message),
            ModelError::EmptyPicture => Self::bad("empty_picture", message),
            ModelError::ContextFull { .. } => Self::bad("too_long", message),
            ModelError::ForeignPicture => picture_not_found(),
            ModelError::Cancelled => {
                Self::later("cancelled", "the answer was stopped: ask again", 1)
            }
            ModelError::Device(_) | ModelError::Execution { .. } => {
                log::error!("the engine failed: {message}");
                Self::engine_failed()
            }
            error if error.refuses_question() => Self::bad("invalid_question", message),
            _ => {
                // The message may name files of this machine, so it is only logged.
                log::error!("a question failed: {message}");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(
                    status,
                    "failed",
                    "the model could not answer: see the server's log",
                )
            }
        }
    }
}

/// Problem of a picture that the server no longer has.
pub fn picture_not_found() -> Problem {
    let message = "there is no such picture, or it made room for others: upload it again";
    Problem::new(StatusCode::NOT_FOUND, "picture_not_found", message).at("picture")
}

/// Collapses line breaks and other whitespace in a text to single spaces.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
