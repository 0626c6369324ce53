//! Few-shot segmentation of classes by example: COCO-20i and PASCAL-5i.

use std::collections::{BTreeMap, BTreeSet};

use super::metric::{Metric, ratio};
use super::overlap::Overlap;

/// Query picture with the class to find in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    /// Fold of the class.
    pub fold: usize,
    /// Class to find.
    pub class: usize,
    /// Overlap of predicted and true mask, without the border pixels of PASCAL's objects.
    pub overlap: Overlap,
}

/// Scores as in HSNet's evaluation, per fold and as means over the folds.
///
/// * `mIoU`: for each class the sum of intersections over the sum of unions of its episodes, then
///   the mean over the fold's classes. A class without any episode counts 0, as in the reference.
/// * `FB-IoU`: sum of intersections over sum of unions over all episodes, once for foreground and
///   once for background, and the mean of the two.
#[derive(Debug, Clone)]
pub struct FewShot {
    /// Classes of each fold.
    folds: BTreeMap<usize, BTreeSet<usize>>,
}

impl FewShot {
    /// Scores for folds with these classes.
    pub fn new(folds: BTreeMap<usize, BTreeSet<usize>>) -> Self {
        Self { folds }
    }

    /// Scores for the folds and classes that occur.
    pub fn occurring<'a>(episodes: impl IntoIterator<Item = &'a Episode>) -> Self {
        let mut folds = BTreeMap::<usize, BTreeSet<usize>>::new();
        for episode in episodes {
            folds.entry(episode.fold).or_default().insert(episode.class);
        }
        Self { folds }
    }

    /// Classes of each fold.
    pub fn folds(&self) -> &BTreeMap<usize, BTreeSet<usize>> {
        &self.folds
    }
}

impl Metric for FewShot {
    type Sample = Episode;

    fn names(&self) -> Vec<String> {
        let each = |name: &'static str| {
            self.folds
                .keys()
                .map(move |fold| format!("{name} of fold {fold}"))
                .chain([name.to_owned()])
        };
        each("mIoU").chain(each("FB-IoU")).collect()
    }

    fn scores<'a>(&self, samples: impl Iterator<Item = &'a Episode>) -> Vec<Option<f64>> {
        let mut sums = BTreeMap::<(usize, usize), Sums>::new();
        for episode in samples {
            let key = (episode.fold, episode.class);
            sums.entry(key).or_default().add(&episode.overlap);
        }
        let (mut m_iou, mut fb_iou) = (Vec::new(), Vec::new());
        for (&fold, classes) in &self.folds {
            let of_class = |class: &usize| sums.get(&(fold, *class)).copied().unwrap_or_default();
            let ious = classes.iter().map(|class| of_class(class).class_iou());
            m_iou.push(ratio(ious.sum(), classes.len() as f64));
            let whole = classes
                .iter()
                .map(of_class)
                .fold(Sums::default(), Sums::plus);
            fb_iou.push(whole.fb_iou());
        }
        let mut scores = Vec::new();
        for values in [m_iou, fb_iou] {
            let mean = values.iter().copied().sum::<Option<f64>>();
            let folds = values.len() as f64;
            scores.extend(values);
            scores.push(mean.and_then(|sum| ratio(sum, folds)));
        }
        scores
    }

    /// Number of the episode's class, so that each resample has all classes.
    fn stratum(&self, episode: &Episode) -> u64 {
        (episode.fold as u64) << 32 | episode.class as u64
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    intersection: u64,
    union: u64,
    background_intersection: u64,
    background_union: u64,
}

impl Sums {
    fn add(&mut self, overlap: &Overlap) {
        *self = self.plus(Self {
            intersection: overlap.intersection,
            union: overlap.union(),
            background_intersection: overlap.background_intersection(),
            background_union: overlap.background_union(),
        });
    }

    fn plus(self, other: Self) -> Self {
        Self {
            intersection: self.intersection + other.intersection,
            union: self.union + other.union,
            background_intersection: self.background_intersection + other.background_intersection,
            background_union: self.background_union + other.background_union,
        }
    }

    fn class_iou(self) -> f64 {
        self.intersection as f64 / self.union.max(1) as f64
    }

    fn fb_iou(self) -> Option<f64> {
        let object = ratio(self.intersection as f64, self.union as f64)?;
        let background = ratio(
            self.background_intersection as f64,
            self.background_union as f64,
        )?;
        Some((object + background) / 2.0)
    }
}
