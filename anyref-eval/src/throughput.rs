//! Throughput of an evaluation, and the shares of its parts.

use std::time::{Duration, Instant};

use anyref_core::Timing;
use serde::{Deserialize, Serialize};

/// Counts of questions and pictures, and the shares of time of each part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Questions asked.
    pub questions: usize,
    /// Pictures encoded.
    pub pictures: usize,
    /// Total time in seconds.
    pub seconds: f64,
    /// Questions a second.
    pub questions_per_second: f64,
    /// Pictures a second.
    pub pictures_per_second: f64,
    /// Share of the time of each part.
    pub shares: Shares,
}

/// Shares of the time by part, which sum to 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Encoding of pictures.
    pub image: f64,
    /// Encoding of sounds.
    pub audio: f64,
    /// Encoding of other references and building of prompts.
    pub prompt: f64,
    /// Generation of answers.
    pub generate: f64,
    /// Decoding of masks.
    pub decode: f64,
    /// Waiting for pictures and references to be read and preprocessed.
    pub waiting: f64,
    /// Comparison with the ground truth, and writing.
    pub other: f64,
}

impl Throughput {
    /// Line and table for a report; `None` when nothing was asked.
    pub fn markdown(&self) -> Option<String> {
        if self.questions == 0 {
            return None;
        }
        let Shares {
            image,
            audio,
            prompt,
            generate,
            decode,
            waiting,
            other,
        } = self.shares;
        let parts = [image, audio, prompt, generate, decode, waiting, other];
        let parts = parts.map(|share| format!(" {:.1} % |", 100.0 * share));
        Some(format!(
            "{} questions about {} pictures in {:.1} s: {:.2} questions and {:.2} pictures a second.\n\n\
             | image | audio | prompt | generate | decode | waiting for files | other |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n|{}\n",
            self.questions,
            self.pictures,
            self.seconds,
            self.questions_per_second,
            self.pictures_per_second,
            parts.concat()
        ))
    }
}

/// Counters of a running evaluation.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    questions: usize,
    pictures: usize,
    /// Time since the first question.
    passed: Duration,
    spent: Timing,
    waiting: Duration,
}

impl Stopwatch {
    /// Counts an encoded picture.
    pub(super) fn picture(&mut self, encoding: Duration) {
        self.pictures += 1;
        self.spent.image += encoding;
    }

    /// Counts a question, with the time of its answer if there is one.
    pub(super) fn question(&mut self, timing: Option<&Timing>) {
        self.questions += 1;
        if let Some(timing) = timing {
            self.spent.audio += timing.audio;
            self.spent.prompt += timing.prompt;
            self.spent.generate += timing.generate;
            self.spent.decode += timing.decode;
        }
    }

    /// Runs `wait` and counts its time as waiting.
    pub(super) fn wait<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = wait();
        self.waiting += start.elapsed();
        value
    }

    /// Counts the time since `since`.
    pub(super) fn pass(&mut self, since: Instant) {
        self.passed += since.elapsed();
    }

    pub(super) fn throughput(&self) -> Throughput {
        let seconds = self.passed.as_secs_f64();
        let of = |part: f64| if seconds > 0.0 { part / seconds } else { 0.0 };
        let share = |part: Duration| of(part.as_secs_f64());
        let mut shares = Shares {
            image: share(self.spent.image),
            audio: share(self.spent.audio),
            prompt: share(self.spent.prompt),
            generate: share(self.spent.generate),
            decode: share(self.spent.decode),
            waiting: share(self.waiting),
            other: 0.0,
        };
        let counted = shares.image
            + shares.audio
            + shares.prompt
            + shares.generate
            + shares.decode
            + shares.waiting;
        shares.other = (1.0 - counted).max(0.0);
        Throughput {
            questions: self.questions,
            pictures: self.pictures,
            seconds,
            questions_per_second: of(self.questions as f64),
            pictures_per_second: of(self.pictures as f64),
            shares,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_whole_and_the_rest_is_named() {
        let seconds = Duration::from_secs;
        let mut watch = Stopwatch::default();
        watch.picture(seconds(2));
        let timing = Timing {
            image: seconds(50),
            audio: seconds(1),
            generate: seconds(3),
            ..Timing::default()
        };
        watch.question(Some(&timing));
        watch.question(None);
        watch.passed = seconds(10);
        let found = watch.throughput();
        assert_eq!((found.questions, found.pictures), (2, 1));
        assert!((found.questions_per_second - 0.2).abs() < 1e-12);
        assert!((found.shares.image - 0.2).abs() < 1e-12);
        assert!((found.shares.other - 0.4).abs() < 1e-12);
        let text = found.markdown().unwrap();
        assert!(
            text.contains("2 questions about 1 pictures in 10.0 s"),
            "{text}"
        );
        assert!(
            text.contains("| 20.0 % | 10.0 % | 0.0 % | 30.0 % |"),
            "{text}"
        );
        assert_eq!(Throughput::default().markdown(), None);
    }
}
