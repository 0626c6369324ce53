//! Mixtures of data sets.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyref_data::datasets::{Dataset, Error, Item, Mixture, Order, Result, Sample, Task};

use crate::support::item;

/// Data set of items that state their own number.
struct Numbers(&'static str, usize);

impl Dataset for Numbers {
    fn name(&self) -> &str {
        self.0
    }

    fn len(&self) -> usize {
        self.1
    }

    fn item(&self, index: usize, draw: u64) -> Result<Item> {
        Ok(Item {
            id: format!("{} {index} {draw}", self.0),
            ..item(Task::Text, Vec::new())
        })
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        BTreeSet::from([PathBuf::from(format!("/nowhere/{}", self.0))])
    }
}

fn sets(sizes: &[usize]) -> Vec<Arc<dyn Dataset>> {
    let names = ["a", "b", "c", "d"];
    let sets = names.into_iter().zip(sizes);
    sets.map(|(name, &size)| Arc::new(Numbers(name, size)) as Arc<dyn Dataset>)
        .collect()
}

fn mixture(sizes: &[usize], weights: &[f64], samples: usize, seed: u64) -> Mixture {
    let parts = sets(sizes).into_iter().zip(weights.iter().copied());
    Mixture::new(parts.collect(), samples, seed).unwrap()
}

#[test]
fn weights_are_kept_to_the_sample() {
    assert_eq!(
        mixture(&[10, 10, 10], &[3.0, 2.0, 1.0], 600, 1).counts(),
        [300, 200, 100]
    );
    assert_eq!(
        mixture(&[10, 10, 10], &[1.0, 1.0, 1.0], 100, 1).counts(),
        [34, 33, 33]
    );
    assert_eq!(
        mixture(&[10, 0, 10], &[1.0, 0.0, 1.0], 3, 1).counts(),
        [2, 0, 1]
    );
    let all = Mixture::proportional(sets(&[5, 7]), 1).unwrap();
    assert_eq!((all.counts(), all.len()), (&[5, 7][..], 12));
    let order = mixture(&[10, 10, 10], &[3.0, 2.0, 1.0], 60, 1)
        .order(0, 0, 1)
        .unwrap();
    let mut found = [0; 3];
    for sample in &order.samples {
        found[sample.dataset] += 1;
    }
    assert_eq!(found, [30, 20, 10]);
    // Samples are mixed, not one data set after the other.
    let first: BTreeSet<usize> = order.samples[..20].iter().map(|s| s.dataset).collect();
    assert_eq!(first.len(), 3);
}

#[test]
fn nothing_repeats_before_all_was_seen_over_the_ends_of_epochs() {
    let mixture = mixture(&[7, 30], &[1.0, 1.0], 20, 5);
    // 10 of each an epoch: 7 epochs are 10 passes of the first and 2 1/3 of the second.
    let mut walks: [Vec<usize>; 2] = Default::default();
    for epoch in 0..7 {
        for sample in mixture.order(epoch, 0, 1).unwrap().samples {
            walks[sample.dataset].push(sample.index);
        }
    }
    for (walk, len) in walks.iter().zip([7, 30]) {
        let passes: Vec<Vec<usize>> = walk.chunks_exact(len).map(<[usize]>::to_vec).collect();
        for pass in &passes {
            let seen: BTreeSet<_> = pass.iter().collect();
            assert_eq!(seen.len(), len);
        }
        // Each pass in its own order.
        assert_eq!(passes.iter().collect::<BTreeSet<_>>().len(), passes.len());
    }
}

#[test]
fn the_order_is_the_seeds_the_epochs_and_the_ranks() {
    let order = |seed, epoch| {
        mixture(&[50, 20], &[2.0, 1.0], 91, seed)
            .order(epoch, 0, 1)
            .unwrap()
    };
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(2, 0));
    assert_ne!(order(1, 0), order(1, 1));
    // The order of a seed must never change.
    let first = &order(1, 0).samples[..6];
    let places: Vec<_> = first.iter().map(|s| (s.dataset, s.index)).collect();
    assert_eq!(places, [(1, 8), (0, 15), (1, 16), (1, 12), (1, 15), (0, 2)]);

    let mixture = mixture(&[50, 20], &[2.0, 1.0], 91, 1);
    let whole = order(1, 0).samples;
    let ranks: Vec<Order> = (0..4)
        .map(|rank| mixture.order(0, rank, 4).unwrap())
        .collect();
    let mut together = Vec::new();
    for place in 0..22 {
        together.extend(ranks.iter().map(|order| order.samples[place]));
    }
    assert!(ranks.iter().all(|order| order.samples.len() == 22));
    assert_eq!(together, whole[..88]);
    let draws: BTreeSet<u64> = whole.iter().map(|sample| sample.draw).collect();
    assert_eq!(draws.len(), whole.len());
}

#[test]
fn what_cannot_be_mixed_is_refused() {
    let new = |weights: &[f64], samples| {
        let parts = sets(&[3, 0]).into_iter().zip(weights.iter().copied());
        Mixture::new(parts.collect(), samples, 0).map(drop)
    };
    for (weights, samples) in [
        (&[][..], 5),
        (&[0.0, 0.0], 5),
        (&[1.0, -1.0], 5),
        (&[f64::NAN, 1.0], 5),
        (&[1.0, 0.0], 0),
    ] {
        assert!(
            matches!(new(weights, samples), Err(Error::Options(_))),
            "{weights:?}"
        );
    }
    assert!(matches!(new(&[1.0, 1.0], 5), Err(Error::Nothing { .. })));
    let mixture = mixture(&[3], &[1.0], 3, 0);
    assert!(mixture.order(0, 2, 2).is_err() && mixture.order(0, 0, 4).is_err());
    assert!(mixture.order(0, 0, 0).is_err());
    assert!(matches!(mixture.check_files(), Err(Error::Missing { .. })));
    let sample = Sample {
        dataset: 9,
        index: 0,
        draw: 0,
    };
    assert!(mixture.item(sample).is_err());
}
