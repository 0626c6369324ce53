//! Engine that obeys the test.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyref_core::{
    Answer, AutomaticMask, AutomaticMaskConfig, Cancel, Dialogue, EncodedPicture, Engine,
    EngineFuture, EngineInfo, Explanation, MaskPrediction, MaskPrompt, Multimask, OnPoints, OnText,
    Prompt, Request, Result,
};
use anyref_server::{LoadEngine, ServerOptions};
use image::RgbImage;
use serde_json::Value;

use super::{Running, nano};

/// Shipped model that can be told to be slow, or to fail.
#[derive(Debug)]
pub struct Told {
    engine: Box<dyn Engine>,
    orders: Arc<Orders>,
}

#[derive(Debug, Default)]
pub struct Orders {
    pub slow: AtomicBool,
    pub panic: AtomicBool,
    pub loads: AtomicUsize,
    pub answered: AtomicUsize,
    pub cancelled: AtomicUsize,
}

impl Engine for Told {
    fn info(&self) -> &EngineInfo {
        self.engine.info()
    }

    fn check(&self) -> Result<()> {
        self.engine.check()
    }

    fn encode_async<'a>(
        &'a self,
        images: &'a [&'a RgbImage],
    ) -> EngineFuture<'a, Result<Vec<EncodedPicture>>> {
        self.engine.encode_async(images)
    }

    fn answer_async<'a>(
        &'a self,
        requests: &'a [Request<'a>],
        on_text: OnText<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Vec<Result<Answer>>> {
        let until = Instant::now() + Duration::from_secs(20);
        while self.orders.slow.load(Ordering::Relaxed) && Instant::now() < until {
            if cancel.is_cancelled() {
                self.orders.cancelled.fetch_add(1, Ordering::Relaxed);
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(
            !self.orders.panic.swap(false, Ordering::Relaxed),
            "told to fail"
        );
        self.orders
            .answered
            .fetch_add(requests.len(), Ordering::Relaxed);
        self.engine.answer_async(requests, on_text, cancel)
    }

    fn explain_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompt: &'a Prompt,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<(Answer, Vec<Explanation>)>> {
        self.engine.explain_async(picture, prompt, cancel)
    }

    fn chat_async<'a>(
        &'a self,
        dialogue: &'a mut Dialogue,
        prompt: Prompt,
        on_text: &'a mut (dyn FnMut(&str) -> std::ops::ControlFlow<()> + Send),
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Answer>> {
        self.engine.chat_async(dialogue, prompt, on_text, cancel)
    }

    fn prompt_masks_async<'a>(
        &'a self,
        picture: &'a EncodedPicture,
        prompts: &'a [MaskPrompt],
        multimask: Multimask,
    ) -> EngineFuture<'a, Result<Vec<MaskPrediction>>> {
        self.engine.prompt_masks_async(picture, prompts, multimask)
    }

    fn automatic_masks_async<'a>(
        &'a self,
        image: &'a RgbImage,
        config: &'a AutomaticMaskConfig,
        on_points: OnPoints<'a>,
        cancel: &'a Cancel,
    ) -> EngineFuture<'a, Result<Vec<AutomaticMask>>> {
        self.engine
            .automatic_masks_async(image, config, on_points, cancel)
    }
}

/// Function that loads the shipped model, and the orders that it obeys.
pub fn obedient() -> (Arc<LoadEngine>, Arc<Orders>) {
    let orders = Arc::new(Orders::default());
    let shared = orders.clone();
    let load = move || {
        if shared.loads.fetch_add(1, Ordering::Relaxed) > 0 {
            // Requests are refused during this time.
            std::thread::sleep(Duration::from_millis(300));
        }
        let engine: Box<dyn Engine> = Box::new(Told {
            engine: nano(),
            orders: shared.clone(),
        });
        Ok(engine)
    };
    (Arc::new(load), orders)
}

/// Server of the shipped model, and the orders that it obeys.
pub fn told(options: ServerOptions) -> (Running, Arc<Orders>) {
    let (load, orders) = obedient();
    (Running::with(load, options), orders)
}

/// Waits until something is done, at most 10 s.
pub fn wait_for(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a question without waiting for its answer.
pub fn begin(server: &Running, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = TcpStream::connect(server.address).unwrap();
    let length = body.len();
    let head = format!(
        "POST /v1/segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}
