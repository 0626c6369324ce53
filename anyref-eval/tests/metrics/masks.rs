//! Scores of masks against LAVT's, LISA's, ReLA's, HSNet's and AVSBench's formulas.

use std::collections::BTreeMap;

use anyref_decoder::rle::Rle;
use anyref_eval::metrics::{
    AudioVisual, Batch, Episode, FewShot, Frame, Generalized, GeneralizedSample, Metric, Overlap,
    Reasoning, Referring, SoftMask,
};
use serde::Deserialize;

use crate::support::{Case, Scores, TOLERANCE, assert_scores};

#[derive(Deserialize)]
struct Fixture {
    referring: Suite,
    reasoning: Suite,
    generalized: Suite,
    few_shot: FewShotSuite,
    audio_visual: AudioVisualSuite,
}

#[derive(Deserialize)]
struct Suite {
    cases: Vec<Case>,
    scores: Scores,
}

impl Suite {
    fn overlaps(&self) -> Vec<Overlap> {
        self.cases.iter().map(Case::overlap).collect()
    }
}

#[derive(Deserialize)]
struct FewShotSuite {
    cases: Vec<Case>,
    fold: usize,
    classes: Vec<usize>,
    scores: Scores,
}

#[derive(Deserialize)]
struct AudioVisualSuite {
    videos: Vec<Vec<SoftFrame>>,
    /// Scores by the number of videos a batch.
    scores: BTreeMap<String, Scores>,
    binary_f: f64,
}

#[derive(Deserialize)]
struct SoftFrame {
    size: [usize; 2],
    truth: String,
    probabilities: Vec<f32>,
}

impl SoftFrame {
    fn frame(&self, soft: bool) -> Frame {
        let truth = Rle::from_compressed(&self.truth, self.size).unwrap();
        let inside: Vec<bool> = self.probabilities.iter().map(|&p| p > 0.5).collect();
        let levels = SoftMask::from_probabilities(&self.probabilities).unwrap();
        let predicted = Rle::from_mask(&inside, self.size).unwrap();
        Frame::new(&predicted, soft.then_some(&levels), &truth).unwrap()
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/metrics.json")).expect("the fixture is JSON")
}

#[test]
fn referring_expressions_are_scored_as_by_lavt_and_lisa() {
    let suite = fixture().referring;
    let overlaps = suite.overlaps();
    assert!(overlaps.iter().any(|o| o.union() == 0));
    assert!(overlaps.iter().any(|o| o.truth == 0 && o.predicted > 0));
    assert_scores(&Referring, &overlaps, &suite.scores);
}

#[test]
fn reasoning_is_scored_as_by_lisa_without_the_pixels_to_ignore() {
    let suite = fixture().reasoning;
    assert!(suite.cases.iter().any(|case| case.ignored.is_some()));
    assert_scores(&Reasoning, &suite.overlaps(), &suite.scores);
}

#[test]
fn sentences_without_target_are_scored_as_by_rela() {
    let suite = fixture().generalized;
    let samples: Vec<_> = suite
        .cases
        .iter()
        .map(|case| GeneralizedSample {
            overlap: case.overlap(),
            says_none: case.says_none,
            is_none: case.is_none,
        })
        .collect();
    for (says_none, is_none) in [(false, false), (false, true), (true, false), (true, true)] {
        assert!(
            samples
                .iter()
                .any(|s| s.says_none == says_none && s.is_none == is_none)
        );
    }
    assert_scores(&Generalized, &samples, &suite.scores);

    let all_there: Vec<_> = samples.into_iter().filter(|s| !s.is_none).collect();
    let scores = Generalized.scores(all_there.iter());
    assert_eq!(
        (scores[2], scores[3]),
        (None, None),
        "no accuracy without such sentences"
    );
}

#[test]
fn classes_by_example_are_scored_as_by_hsnet() {
    let suite = fixture().few_shot;
    let episodes: Vec<_> = suite
        .cases
        .iter()
        .map(|case| Episode {
            fold: suite.fold,
            class: case.class,
            overlap: case.overlap(),
        })
        .collect();
    let classes = suite.classes.iter().copied().collect();
    let metric = FewShot::new(BTreeMap::from([(suite.fold, classes)]));
    assert_scores(&metric, &episodes, &suite.scores);

    // A class without episodes counts 0 in the reference, so the mean over occurring classes is
    // larger.
    let occurring = FewShot::occurring(&episodes);
    assert_eq!(
        occurring.folds()[&suite.fold].len(),
        suite.classes.len() - 1
    );
    let (few, all) = (
        occurring.scores(episodes.iter())[1],
        metric.scores(episodes.iter())[1],
    );
    assert!((few.unwrap() * 4.0 - all.unwrap() * 5.0).abs() < 1e-12);
}

#[test]
fn folds_are_averaged() {
    let whole = Overlap {
        intersection: 4,
        predicted: 4,
        truth: 4,
        pixels: 8,
    };
    let half = Overlap {
        intersection: 2,
        predicted: 2,
        truth: 4,
        pixels: 8,
    };
    let episode = |fold, class, overlap| Episode {
        fold,
        class,
        overlap,
    };
    let episodes = [
        episode(0, 0, whole),
        episode(0, 1, half),
        episode(2, 7, half),
    ];
    let metric = FewShot::occurring(&episodes);
    let names = metric.names();
    let scores = metric.scores(episodes.iter());
    let score = |name: &str| scores[names.iter().position(|n| n == name).unwrap()].unwrap();
    assert_eq!(score("mIoU of fold 0"), 0.75);
    assert_eq!(score("mIoU of fold 2"), 0.5);
    assert_eq!(score("mIoU"), 0.625);
    assert_eq!(score("FB-IoU of fold 2"), (2.0 / 4.0 + 4.0 / 6.0) / 2.0);
}

#[test]
fn sounding_things_are_scored_as_by_avsbench_in_batches_of_any_size() {
    let suite = fixture().audio_visual;
    let videos: Vec<Vec<Frame>> = suite
        .videos
        .iter()
        .map(|video| video.iter().map(|frame| frame.frame(true)).collect())
        .collect();
    assert_eq!(suite.scores.len(), 3);
    let mut f_scores = Vec::new();
    for (size, expected) in &suite.scores {
        let batches: Vec<Batch> = videos
            .chunks(size.parse().unwrap())
            .map(|videos| Batch::new(&videos.concat()).unwrap())
            .collect();
        assert_scores(&AudioVisual, &batches, expected);
        f_scores.push(expected["F"]);
    }
    f_scores.dedup();
    assert_eq!(f_scores.len(), 3, "the F-score depends on the batch size");
}

#[test]
fn masks_without_probabilities_have_one_or_zero() {
    let suite = fixture().audio_visual;
    let batches: Vec<Batch> = suite
        .videos
        .iter()
        .map(|video| {
            let frames: Vec<_> = video.iter().map(|frame| frame.frame(false)).collect();
            Batch::new(&frames).unwrap()
        })
        .collect();
    let f = AudioVisual.scores(batches.iter())[1].unwrap();
    assert!(
        (f - suite.binary_f).abs() < TOLERANCE,
        "{f} instead of {}",
        suite.binary_f
    );
}

#[test]
fn nothing_to_score_has_no_score() {
    for scores in [
        Referring.scores([].iter()),
        Reasoning.scores([].iter()),
        Generalized.scores([].iter()),
        AudioVisual.scores([].iter()),
    ] {
        assert!(scores.iter().all(Option::is_none), "{scores:?}");
    }
    assert_eq!(Batch::new(&[]), None);
}
