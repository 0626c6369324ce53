//! Data sets mixed in proportion, in an order that follows from seed, epoch and rank.

use std::sync::Arc;

use super::dataset::{Dataset, check_files};
use super::error::{Error, Result};
use super::item::Item;
use crate::scenes::mix;

/// Sample of an epoch: a data set, an item, and a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Index of the data set in the mixture.
    pub dataset: usize,
    /// Index of the item.
    pub index: usize,
    /// Draw that decides the item's random choices.
    pub draw: u64,
}

/// Samples of one process in one epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Samples in order. All ranks have equally many.
    pub samples: Vec<Sample>,
}

/// Mixture of weighted data sets.
#[derive(Clone)]
pub struct Mixture {
    datasets: Vec<Arc<dyn Dataset>>,
    /// Samples of each data set in an epoch.
    counts: Vec<usize>,
    seed: u64,
}

impl Mixture {
    /// Mixture with epochs of `samples`, shared by the data sets in proportion to their weights. A
    /// data set is gone through without repetition before it starts again, across epochs.
    ///
    /// # Errors
    /// When there is nothing to mix, or a weight is negative or not finite.
    pub fn new(parts: Vec<(Arc<dyn Dataset>, f64)>, samples: usize, seed: u64) -> Result<Self> {
        let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
        let sound = parts
            .iter()
            .all(|(_, weight)| weight.is_finite() && *weight >= 0.0);
        if !sound || total <= 0.0 || samples == 0 {
            let reason = "a mixture needs samples and weights of 0 or more, not all 0";
            return Err(Error::Options(reason.to_owned()));
        }
        if let Some((empty, _)) = parts
            .iter()
            .find(|(d, weight)| *weight > 0.0 && d.is_empty())
        {
            return Err(Error::Nothing {
                dataset: empty.name().to_owned(),
            });
        }
        let shares = parts
            .iter()
            .map(|(_, weight)| weight / total * samples as f64);
        let shares: Vec<f64> = shares.collect();
        let mut counts: Vec<usize> = shares.iter().map(|share| *share as usize).collect();
        // Samples lost by rounding down go to the largest remainders of data sets with a weight.
        let mut places: Vec<usize> = (0..parts.len()).filter(|&i| parts[i].1 > 0.0).collect();
        let remainder = |&i: &usize| shares[i].fract();
        places.sort_by(|a, b| remainder(b).total_cmp(&remainder(a)).then(a.cmp(b)));
        let left = samples - counts.iter().sum::<usize>().min(samples);
        for &place in places.iter().cycle().take(left) {
            counts[place] += 1;
        }
        Ok(Self {
            datasets: parts.into_iter().map(|(dataset, _)| dataset).collect(),
            counts,
            seed,
        })
    }

    /// Mixture in which each data set has as many samples an epoch as it has items.
    ///
    /// # Errors
    /// When there is nothing to mix.
    pub fn proportional(datasets: Vec<Arc<dyn Dataset>>, seed: u64) -> Result<Self> {
        let samples = datasets.iter().map(|d| d.len()).sum();
        let weighted = datasets.into_iter().map(|d| {
            let weight = d.len() as f64;
            (d, weight)
        });
        Self::new(weighted.collect(), samples, seed)
    }

    /// Data sets of the mixture.
    pub fn datasets(&self) -> &[Arc<dyn Dataset>] {
        &self.datasets
    }

    /// Samples of each data set in an epoch.
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// Samples in an epoch, over all ranks.
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Returns whether an epoch has no samples; never true.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that the files of all data sets exist.
    ///
    /// # Errors
    /// [`Error::Missing`] with all files that one data set lacks; [`Error::SeveralMissing`] when
    /// several lack files.
    pub fn check_files(&self) -> Result<()> {
        let checked = self.datasets.iter().map(|d| check_files(&**d));
        let mut missing: Vec<Error> = checked.filter_map(Result::err).collect();
        match missing.len() {
            0 => Ok(()),
            1 => Err(missing.remove(0)),
            _ => Err(Error::SeveralMissing(missing)),
        }
    }

    /// Item of a sample.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn item(&self, sample: Sample) -> Result<Item> {
        let Sample {
            dataset,
            index,
            draw,
        } = sample;
        match self.datasets.get(dataset) {
            Some(dataset) => dataset.item(index, draw),
            None => Err(Error::Options(format!(
                "the mixture has no data set {dataset}"
            ))),
        }
    }

    /// Samples of `rank`, one of `ranks` processes, in an epoch. A remainder that does not divide
    /// among the processes is dropped, so that no process waits for another.
    ///
    /// # Errors
    /// When there is no such rank, or fewer samples than ranks.
    pub fn order(&self, epoch: u64, rank: usize, ranks: usize) -> Result<Order> {
        let each = self.len() / ranks.max(1);
        if rank >= ranks || each == 0 {
            let samples = self.len();
            let reason = format!("rank {rank} of {ranks} has none of {samples} samples");
            return Err(Error::Options(reason));
        }
        let key = mix(mix(self.seed) ^ mix(epoch));
        let places = self.counts.iter().enumerate();
        let mut datasets: Vec<usize> = places
            .flat_map(|(dataset, &count)| std::iter::repeat_n(dataset, count))
            .collect();
        shuffle(&mut datasets, key);
        let mut walks: Vec<Walk> = (0..self.datasets.len())
            .map(|dataset| self.walk(dataset, epoch))
            .collect();
        let mut samples = Vec::with_capacity(each);
        for (place, dataset) in datasets.into_iter().enumerate().take(each * ranks) {
            let index = walks[dataset].next();
            if place % ranks == rank {
                samples.push(Sample {
                    dataset,
                    index,
                    draw: mix(key ^ mix(place as u64)),
                });
            }
        }
        Ok(Order { samples })
    }

    /// Position in a data set at the start of an epoch.
    fn walk(&self, dataset: usize, epoch: u64) -> Walk {
        let done = u128::from(epoch) * self.counts[dataset] as u128;
        let len = self.datasets[dataset].len();
        let key = mix(mix(self.seed) ^ mix(!(dataset as u64)));
        let mut walk = Walk {
            pass: (done / len.max(1) as u128) as u64,
            place: (done % len.max(1) as u128) as usize,
            len,
            key,
            order: Vec::new(),
        };
        if self.counts[dataset] > 0 {
            walk.shuffle();
        }
        walk
    }
}

impl std::fmt::Debug for Mixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.datasets.iter().map(|d| d.name()).collect();
        f.debug_struct("Mixture")
            .field("datasets", &names)
            .field("counts", &self.counts)
            .field("seed", &self.seed)
            .finish()
    }
}

/// Endless walk through a data set, in another order each pass.
struct Walk {
    pass: u64,
    place: usize,
    len: usize,
    key: u64,
    order: Vec<usize>,
}

impl Walk {
    fn next(&mut self) -> usize {
        if self.place == self.len {
            self.place = 0;
            self.pass += 1;
            self.shuffle();
        }
        self.place += 1;
        self.order[self.place - 1]
    }

    fn shuffle(&mut self) {
        self.order = (0..self.len).collect();
        shuffle(&mut self.order, mix(self.key ^ mix(self.pass)));
    }
}

/// Shuffles by the key alone, independent of any library's version.
fn shuffle(items: &mut Vec<usize>, key: u64) {
    let mut keyed: Vec<(u64, usize)> = items
        .iter()
        .enumerate()
        .map(|(place, &item)| (mix(key ^ place as u64), item))
        .collect();
    keyed.sort_unstable();
    items.clear();
    items.extend(keyed.into_iter().map(|(_, item)| item));
}
