//! METEOR 1.5: the counts of its program, and the score of any set of descriptions from them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use super::error::ProgramError;
use super::jar::Jar;
use crate::metrics::caption::tokenizer::Words;

/// Weights of the stages: equal words, stems, synonyms, paraphrases.
const STAGES: [f64; 4] = [1.0, 0.6, 0.8, 0.6];
/// Weight of recall against precision.
const ALPHA: f64 = 0.85;
/// Exponent of the fragmentation penalty.
const BETA: f64 = 0.2;
/// Weight of the fragmentation penalty.
const GAMMA: f64 = 0.6;
/// Weight of content words against function words.
const DELTA: f64 = 0.75;
/// Numbers in a line.
const NUMBERS: usize = 23;

/// Counts of the program for a description against its best reference.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeteorStats {
    /// Words, and function words among them; of the description and of the reference.
    length: [f64; 2],
    function: [f64; 2],
    /// Matches by stage: content words, then function words; of the description and of the
    /// reference.
    stages: [[[f64; 2]; 2]; 4],
    chunks: f64,
    /// Matched words.
    matched: [f64; 2],
}

impl MeteorStats {
    /// Parses a line of the program; `None` if it has another form.
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

    /// Adds the counts of another description. A description equal to a reference adds no chunk.
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

    /// METEOR score, 0 to 1.
    pub fn score(&self) -> f64 {
        let [precision, recall] = [0, 1].map(|side| self.weighted(side));
        if precision == 0.0 || recall == 0.0 {
            return 0.0;
        }
        let mean = 1.0 / ((1.0 - ALPHA) / precision + ALPHA / recall);
        let matched = (self.matched[0] + self.matched[1]) / 2.0;
        mean * (1.0 - GAMMA * (self.disorder() / matched).powf(BETA))
    }

    /// Weighted share of the words of one side that are matched.
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

    /// Chunks that count; a single one that covers both sides counts as none.
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

/// Runs the program on all descriptions.
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
    // One score for each, then that of the corpus: other versions or parameters would give other
    // scores.
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
