//! Thread pool of the kernels.

use burn::tensor::backend::Backend;
use rayon::prelude::*;

use super::dispatch::FlexKind;

/// Runs `work` on a thread of the pool that the processor's kernels share. On any other backend,
/// and where gradients are computed, it runs on the calling thread. A kernel called from outside
/// the pool is handed over and waited for; this function hands over a model of many small kernels
/// once.
pub fn within_pool<B: Backend, R: Send>(work: impl FnOnce() -> R + Send) -> R {
    match FlexKind::of::<B>() == Some(FlexKind::Inference) {
        true => rayon::join(work, || ()).0,
        false => work(),
    }
}

/// Computes a value of each item, in their order. On the processor as many items are computed at a
/// time as its kernels have threads, so that one item's work fills the gaps in another's: a kernel
/// too small to be shared keeps a single thread. On any other backend, and where gradients are
/// computed, the items are computed one after the other on the calling thread.
pub fn each_within_pool<B: Backend, T: Sync, R: Send>(
    items: &[T],
    compute: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    if FlexKind::of::<B>() != Some(FlexKind::Inference) {
        return items.iter().map(compute).collect();
    }
    if let [item] = items {
        return vec![rayon::join(|| compute(item), || ()).0];
    }
    // A thread that waits for others may begin a further item meanwhile: no more than these.
    let together = items.chunks(rayon::current_num_threads());
    let computed = together.flat_map(|items| {
        let items = items.par_iter().with_max_len(1);
        items.map(&compute).collect::<Vec<R>>()
    });
    computed.collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::{Autodiff, Flex};

    use super::*;

    #[test]
    fn values_are_in_the_order_of_their_items() {
        let items: Vec<usize> = (0..100).collect();
        let doubled: Vec<usize> = items.iter().map(|item| 2 * item).collect();
        assert_eq!(
            each_within_pool::<Flex, _, _>(&items, |item| 2 * item),
            doubled
        );
        let tracked = each_within_pool::<Autodiff<Flex>, _, _>(&items, |item| 2 * item);
        assert_eq!(tracked, doubled);
        assert!(each_within_pool::<Flex, usize, usize>(&[], |item| *item).is_empty());
    }
}
