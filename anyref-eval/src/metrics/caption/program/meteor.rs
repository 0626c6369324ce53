//! METEOR 1.5: what its program counts, and the score of any set of descriptions from that.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::error::ProgramError;
use super::jar::Jar;
use crate::metrics::caption::tokenizer::Words;

/// Weights of the stages: equal words, stems, synonyms, paraphrases.
const STAGES: [f64; 4] = [1.0, 0.6, 0.8, 0.6];
/// Weight of recall against precision.
const ALPHA: f64 = 0.85;
/// Shape of the penalty for disorder.
const BETA: f64 = 0.2;
/// Weight of that penalty.
const GAMMA: f64 = 0.6;
/// Weight of words of content against those of function.
const DELTA: f64 = 0.75;
/// Numbers of a line.
const NUMBERS: usize = 23;

/// Counts of the program for a description against the reference that fits it best.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeteorStats {
    /// Words, and words of function among them; of the description and of the reference.
    length: [f64; 2],
    function: [f64; 2],
    /// Matches by stage: words of content, then of function; of the description and of the
    /// reference.
    stages: [[[f64; 2]; 2]; 4],
    chunks: f64,
    /// Words that are matched.
    matched: [f64; 2],
}

impl MeteorStats {
    /// Reads a line of the program; none when it is none.
    pub fn parse(line: &str) -> Option<Self> {
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        let n: [f64; NUMBERS] = numbers.ok()?.try_into().ok()?;
        let stage = |at: usize| [[n[at], n[at + 1]], [n[at + 2], n[at + 3]]];
        Some(Self {
            length: [n[0], n[1]],
            function: [n[2], n[3]],
            stages: [stage(4), stage(8), stage(12), stage(16)],
            chunks: n[20],
            matched: [n[21], n[22]],
        })
    }

    /// Adds those of another description. One that is a reference word for word adds no chunk.
    pub fn add(&mut self, other: &Self) {
        let add = |sum: &mut [f64; 2], other: [f64; 2]| {
            sum.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
        };
        add(&mut self.length, other.length);
        add(&mut self.function, other.function);
        for (sum, other) in self.stages.iter_mut().zip(&other.stages) {
            sum.iter_mut().zip(other).for_each(|(sum, x)| add(sum, *x));
        }
        self.chunks += other.disorder();
        add(&mut self.matched, other.matched);
    }

    /// The score.
    pub fn score(&self) -> f64 {
        let [precision, recall] = [0, 1].map(|side| self.weighted(side));
        if precision == 0.0 || recall == 0.0 {
            return 0.0;
        }
        let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
        let matched = (self.matched[0] + self.matched[1]) / 2.0;
        mean * (1.0 - GAMMA * (self.disorder() / matched).powf(BETA))
    }

    /// Share of the words of one side that are matched, weighed.
    fn weighted(&self, side: usize) -> f64 {
        let weigh = |content: f64, function: f64| DELTA * content + (1.0 - DELTA) * function;
        let matches: f64 = STAGES
            .iter()
            .zip(&self.stages)
            .map(|(weight, [content, function])| weight * weigh(content[side], function[side]))
            .sum();
        let content = self.length[side] - self.function[side];
        match weigh(content, self.function[side]) {
            0.0 => 0.0,
            length => matches / length,
        }
    }

    /// Chunks that count: a single one that is everything on both sides does not.
    fn disorder(&self) -> f64 {
        let all = |side: usize| {
            let matches = self.stages.iter().flatten().map(|kind| kind[side]);
            matches.sum::<f64>() == self.length[side]
        };
        match self.chunks == 1.0 && all(0) && all(1) {
            true => 0.0,
            false => self.chunks,
        }
    }
}

/// Asks the program about every description.
pub(super) fn ask(
    path: &Path,
    samples: &[(Words, Vec<Words>)],
) -> Result<Vec<MeteorStats>, ProgramError> {
    let jar = Jar {
        path,
        name: "meteor-1.5.jar",
        beside: "data/paraphrase-en.gz",
    };
    let mut running = jar.start("-Xmx2G", &["-", "-", "-stdio", "-l", "en", "-norm"])?;
    let pipes = (running.child.stdin.take(), running.child.stdout.take());
    let (Some(mut input), Some(output)) = pipes else {
        return Err(jar.stopped(&mut running, None));
    };
    let mut output = BufReader::new(output);
    let mut say = |line: &str, answers: usize| -> std::io::Result<Vec<String>> {
        writeln!(input, "{line}")?;
        input.flush()?;
        let mut lines = Vec::with_capacity(answers);
        for _ in 0..answers {
            let mut line = String::new();
            if output.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            lines.push(line.trim().to_owned());
        }
        Ok(lines)
    };
    let mut stats = Vec::with_capacity(samples.len());
    let (mut evaluated, mut sum) = ("EVAL".to_owned(), MeteorStats::default());
    for (said, references) in samples {
        let references = references.iter().map(|words| words.join(" "));
        let mut parts = vec!["SCORE".to_owned()];
        parts.extend(references);
        parts.push(said.join(" ").replace("|||", "").replace("  ", " "));
        let answer = say(&parts.join(" ||| "), 1)
            .map_err(|error| jar.stopped(&mut running, Some(error)))?
            .remove(0);
        let counted = MeteorStats::parse(&answer).ok_or_else(|| jar.answered(&answer))?;
        evaluated += &format!(" ||| {answer}");
        sum.add(&counted);
        stats.push(counted);
    }
    if stats.is_empty() {
        return Ok(stats);
    }
    // A score for each, then that of all: another version, or other parameters, would score
    // otherwise.
    let scores =
        say(&evaluated, stats.len() + 1).map_err(|error| jar.stopped(&mut running, Some(error)))?;
    let own = stats.iter().chain([&sum]).map(MeteorStats::score);
    for (answer, own) in scores.iter().zip(own) {
        let score: Option<f64> = answer.parse().ok();
        if score.is_none_or(|score| (score - own).abs() > 1e-6) {
            return Err(jar.answered(answer));
        }
    }
    Ok(stats)
}
