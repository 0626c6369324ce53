//! Thread that runs the model: takes batches from the queue, answers them together, and restarts
//! the model after a failure.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyref_api::{Outcome, Problem, milliseconds};
use anyref_core::{Answer, Dialogue, EncodedPicture, Engine, Error, Goal, Prompt, Request};
use image::RgbImage;
use tokio::runtime::Handle;

use crate::listening::{Listener, Listeners};
use crate::models::{Hosted, Models};
use crate::queue::{Queue, Status, Turn};
use crate::served_model::LoadEngine;
use crate::ticket::{Running, Ticket};
use crate::work::{Asked, Job, Pieces, Reply, Work};

/// Longest pause between two attempts to restart a failed model.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Runs until the queue is closed. The engine is created and dropped on this thread.
pub(crate) fn run(
    hosted: &Hosted,
    models: &Models,
    first: Option<Box<dyn Engine>>,
    load: &LoadEngine,
    runtime: &Handle,
) {
    let queue = &hosted.queue;
    let mut loaded = first;
    while let Some(turn) = queue.next_turn() {
        let Turn::Batch(jobs) = turn else {
            if models.has_to_rest(hosted) {
                drop(loaded.take());
                queue.dropped();
            }
            continue;
        };
        let Some(engine) = loaded.take().or_else(|| start(hosted, models, load)) else {
            drop(jobs);
            continue;
        };
        let failed = catch_unwind(AssertUnwindSafe(|| compute(&*engine, jobs, queue, runtime)));
        let failed = match failed {
            Ok(failed) => failed,
            Err(_) => {
                // The jobs are dropped, which their clients see as a failed engine.
                log::error!("a fault in the model, which is started again");
                true
            }
        };
        if failed || engine.check().is_err() {
            queue.set_status(Status::Restarting);
            queue.metrics.server.restarts.inc();
            queue.fail_all();
            drop(engine);
            queue.dropped();
            match restart(queue, load) {
                Some(started) => loaded = Some(started),
                None => return,
            }
        } else {
            loaded = Some(engine);
        }
    }
}

/// Loads the model that is asked, in the room of idle ones; none when it does not load, which its
/// clients are told.
fn start(hosted: &Hosted, models: &Models, load: &LoadEngine) -> Option<Box<dyn Engine>> {
    let queue = &hosted.queue;
    log::info!("{} is loaded", hosted.name);
    let before = queue.info().map_or(0, |info| info.bytes());
    models.make_room(hosted, before);
    let mut result = catch_unwind(AssertUnwindSafe(load));
    if matches!(result, Ok(Err(Error::Memory(_)))) && models.drop_others(hosted) {
        result = catch_unwind(AssertUnwindSafe(load));
    }
    match result {
        Ok(Ok(engine)) => {
            queue.started(engine.info());
            models.make_room(hosted, 0);
            return Some(engine);
        }
        Ok(Err(error)) => log::error!("{} does not load: {error}", hosted.name),
        Err(_) => log::error!("a fault while {} was loaded", hosted.name),
    }
    queue.not_loaded();
    None
}

/// Starts the model again; none when the server ends meanwhile.
fn restart(queue: &Queue, load: &LoadEngine) -> Option<Box<dyn Engine>> {
    let mut pause = Duration::from_millis(250);
    loop {
        match catch_unwind(AssertUnwindSafe(load)) {
            Ok(Ok(engine)) => {
                // Pictures that were on their way from the engine before.
                queue.dropped();
                queue.started(engine.info());
                log::info!("the model is started again");
                return Some(engine);
            }
            Ok(Err(error)) => log::error!("the model does not start: {error}"),
            Err(_) => log::error!("a fault while the model starts"),
        }
        if queue.closed_within(pause) {
            return None;
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Computes a batch; returns whether the engine failed.
fn compute(engine: &dyn Engine, jobs: Vec<Job>, queue: &Queue, runtime: &Handle) -> bool {
    let mut failed = false;
    let (mut pictures, mut questions) = (Vec::new(), Vec::new());
    let mut single = Vec::new();
    for job in jobs {
        if job.ticket.is_gone() {
            queue.metrics.server.left.inc();
            continue;
        }
        let waited = job.since.elapsed();
        queue.metrics.server.waited(waited);
        job.span
            .in_scope(|| tracing::debug!(ms = milliseconds(waited), "waited for the model"));
        match job.work {
            Work::Encode(image, reply) => pictures.push((image, reply)),
            Work::Ask(asked, reply) => questions.push((*asked, job.ticket, reply)),
            Work::Explain(..) | Work::Masks(..) | Work::Chat(..) => {
                single.push((job.work, job.ticket))
            }
        }
    }
    if !pictures.is_empty() {
        failed |= encode(engine, pictures, queue, runtime);
    }
    if !questions.is_empty() {
        queue.metrics.server.batch(questions.len());
        failed |= answer(engine, questions, queue, runtime);
    }
    for (work, ticket) in single {
        failed |= match work {
            Work::Explain(picture, prompt, reply) => {
                let running = Running::start(&[ticket]);
                let explained = engine.explain_async(&picture, &prompt, &running.cancel);
                send(reply, runtime.block_on(explained))
            }
            Work::Masks(picture, prompt, multimask, reply) => {
                let prompts = [prompt];
                let predicted = engine.prompt_masks_async(&picture, &prompts, multimask);
                let predicted = runtime.block_on(predicted);
                send(reply, predicted.map(|mut predicted| predicted.remove(0)))
            }
            Work::Chat(dialogue, prompt, pieces, reply) => {
                chat(engine, *dialogue, prompt, pieces, &ticket, reply, runtime)
            }
            Work::Encode(..) | Work::Ask(..) => false,
        };
    }
    failed
}

/// Sends a result; returns whether the engine failed.
fn send<T>(reply: Reply<T>, result: Result<T, Error>) -> bool {
    let failed = matches!(result, Err(Error::Device(_)));
    // Clients that have left need no result.
    let _ = reply.send(result.map_err(Problem::from));
    failed
}

fn encode(
    engine: &dyn Engine,
    pictures: Vec<(RgbImage, Reply<EncodedPicture>)>,
    queue: &Queue,
    runtime: &Handle,
) -> bool {
    let (images, replies): (Vec<_>, Vec<_>) = pictures.into_iter().unzip();
    let all: Vec<&RgbImage> = images.iter().collect();
    let start = Instant::now();
    match runtime.block_on(engine.encode_async(&all)) {
        Ok(encoded) => {
            queue.metrics.server.part("image", start.elapsed());
            for (reply, picture) in replies.into_iter().zip(encoded) {
                let _ = reply.send(Ok(picture));
            }
            false
        }
        Err(error) => {
            let failed = matches!(error, Error::Device(_));
            let problem = Problem::from(error);
            for reply in replies {
                let _ = reply.send(Err(problem.clone()));
            }
            failed
        }
    }
}

fn answer(
    engine: &dyn Engine,
    questions: Vec<(Asked, Ticket, Reply<Answer>)>,
    queue: &Queue,
    runtime: &Handle,
) -> bool {
    let tickets: Vec<Ticket> = questions
        .iter()
        .map(|(_, ticket, _)| ticket.clone())
        .collect();
    let running = Running::start(&tickets);
    let listeners = questions.iter().map(|(asked, ticket, _)| {
        let pieces = asked.pieces.as_ref();
        Listener::new(ticket, pieces, asked.most_pieces)
    });
    let mut listeners = Listeners(listeners.collect());
    let requests: Vec<Request<'_>> = questions
        .iter()
        .map(|(asked, ..)| Request {
            picture: &asked.picture,
            prompt: &asked.prompt,
            goal: asked.goal,
        })
        .collect();
    let answered = engine.answer_observed_async(&requests, &mut listeners, &running.cancel);
    let mut answers = runtime.block_on(answered);
    drop(requests);
    locate(engine, &questions, &mut answers, &running, runtime);
    let mut failed = false;
    for ((_, ticket, reply), answer) in questions.into_iter().zip(answers) {
        if ticket.is_gone() {
            queue.metrics.server.left.inc();
        }
        if let Ok(answer) = &answer {
            queue.metrics.server.timing(&answer.timing);
        }
        failed |= send(reply, answer);
    }
    failed
}

/// Predicts masks for descriptions that came without any.
fn locate(
    engine: &dyn Engine,
    questions: &[(Asked, Ticket, Reply<Answer>)],
    answers: &mut [Result<Answer, Error>],
    running: &Running,
    runtime: &Handle,
) {
    let without: Vec<usize> = (0..questions.len())
        .filter(|&i| {
            let (asked, ticket, _) = &questions[i];
            let bare = matches!(&answers[i], Ok(answer) if answer.masks.is_empty());
            asked.locate && !ticket.is_gone() && bare && !asked.prompt.references.is_empty()
        })
        .collect();
    if without.is_empty() {
        return;
    }
    let prompts: Vec<Prompt> = without
        .iter()
        .map(|&i| Prompt::new(questions[i].0.prompt.references.clone()))
        .collect();
    let requests: Vec<Request<'_>> = without
        .iter()
        .zip(&prompts)
        .map(|(&i, prompt)| Request {
            picture: &questions[i].0.picture,
            prompt,
            goal: Goal::Segment,
        })
        .collect();
    let mut go_on = |_: usize, _: &str| ControlFlow::Continue(());
    let located = runtime.block_on(engine.answer_async(&requests, &mut go_on, &running.cancel));
    for (i, located) in without.into_iter().zip(located) {
        match (&mut answers[i], located) {
            (Ok(answer), Ok(located)) => {
                answer.masks = located.masks;
                answer.doubtful = located.doubtful;
                answer.timing += located.timing;
            }
            (place, Err(error)) => *place = Err(error),
            (Err(_), Ok(_)) => {}
        }
    }
}

fn chat(
    engine: &dyn Engine,
    mut dialogue: Dialogue,
    prompt: Prompt,
    pieces: Option<Pieces>,
    ticket: &Ticket,
    reply: Reply<(Dialogue, Outcome<Answer>)>,
    runtime: &Handle,
) -> bool {
    let running = Running::start(std::slice::from_ref(ticket));
    let mut listeners = Listeners(vec![Listener::new(ticket, pieces.as_ref(), None)]);
    let cancel = &running.cancel;
    let chatted = engine.chat_observed_async(&mut dialogue, prompt, &mut listeners, cancel);
    let answer = runtime.block_on(chatted);
    let failed = matches!(answer, Err(Error::Device(_)));
    let _ = reply.send(Ok((dialogue, answer.map_err(Problem::from))));
    failed
}
