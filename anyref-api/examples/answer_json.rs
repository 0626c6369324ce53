//! Answers a question in the API's JSON without a server: for programs that bring their own
//! transport, such as a message queue or a page in the browser.
//!
//! ```sh
//! cargo run --release -p anyref-api --example answer_json
//! cargo run --release -p anyref-api --example answer_json -- \
//!     '{"picture": …, "references": […]}'
//! ```

use std::error::Error;
use std::time::{Duration, Instant};

use anyref_api::{
    AnswerOutput, Outcome, PictureInput, Problem, QuestionInput, QuestionLimits, check_fit, media,
};
use anyref_core::{Engine, EngineOptions, Goal, ModelSource, load_engine};

fn main() -> Result<(), Box<dyn Error>> {
    let engine = load_engine(&EngineOptions::new(ModelSource::Path("assets/nano".into())))?;
    let question = match std::env::args().nth(1) {
        Some(question) => question,
        None => {
            let scene = media::base64(&std::fs::read("assets/demo/scene1.jpg")?);
            serde_json::json!({
                "picture": {"data": scene, "name": "scene1.jpg"},
                "references": [{"type": "box", "box": [108.4, 52.4, 204.9, 171.0]}],
                "masks": "polygons",
            })
            .to_string()
        }
    };
    answer(&*engine, &question)?;

    // A problem names the field, and has the status that a server would answer with.
    answer(
        &*engine,
        r#"{"picture": {"data": "AAAA"}, "question": "a dog"}"#,
    )
}

fn answer(engine: &dyn Engine, question: &str) -> Result<(), Box<dyn Error>> {
    let input: QuestionInput = serde_json::from_str(question)?;
    match asked(engine, &input) {
        Ok(answer) => println!("{}", serde_json::to_string(&answer)?),
        Err(problem) => println!("{}", serde_json::to_string(&problem.failure())?),
    }
    Ok(())
}

/// Checks a question within limits, asks it, and writes the answer in the format asked for.
fn asked(engine: &dyn Engine, input: &QuestionInput) -> Outcome<AnswerOutput> {
    let (start, limits) = (Instant::now(), QuestionLimits::default());
    input.check_goal(Goal::Segment)?;
    input.check(&limits)?;
    let prompt = input.prompt(&limits)?;
    let PictureInput::File(file) = &input.picture else {
        // A server keeps encoded pictures by their identifiers.
        return Err(Problem::bad("picture", "send the file itself").at("picture"));
    };
    let name = media::shown_name(file.name.as_deref(), "asked about");
    let bytes = media::bytes(&file.data, "picture")?;
    media::check_pixels(&bytes, &limits, "picture")?;
    let image = media::picture(&bytes, &name, "picture")?;
    check_fit(&prompt, image.dimensions())?;

    let picture = engine.encode(&image)?;
    let encoding: Duration = picture.encoding_time();
    let answer = engine.segment(&picture, &prompt)?;
    let (model, total) = (&engine.info().model, start.elapsed());
    Ok(AnswerOutput::new(
        model,
        &answer,
        input.masks,
        encoding,
        total,
    ))
}
