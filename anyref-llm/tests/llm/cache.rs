//! A cache does not change results.

use anyref_llm::{KvCache, Llama, LlamaConfig, LlamaInput, LlamaOutput};
use anyref_ops::CacheCapacity;
use anyref_ops::testing::{assert_close, max_abs_difference};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::support::{TestAutodiff, TestBackend, hidden, ids, mask, random_model};

const TOLERANCE: f64 = 1e-5;
const CAPACITIES: [CacheCapacity; 3] = [
    CacheCapacity::Exact,
    CacheCapacity::Sliced,
    CacheCapacity::Masked,
];

fn feed<B: Backend>(model: &Llama<B>, rows: &[&[i64]], cache: &mut KvCache<B>) -> LlamaOutput<B> {
    model.forward(LlamaInput::new(model.embed(ids(rows))), Some(cache))
}

#[test]
fn cached_is_uncached() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let row: &[i64] = &[5, 17, 3, 99, 40, 41, 7, 8];
    let whole = model.forward(LlamaInput::new(model.embed(ids(&[row]))), None);
    let cuts = [&[8][..], &[3, 5], &[1, 1, 1, 1, 1, 1, 1, 1], &[4, 1, 3]];
    for (cuts, spare) in cuts
        .into_iter()
        .flat_map(|cuts| CAPACITIES.map(|spare| (cuts, spare)))
    {
        let mut cache = model.new_cache().with_capacity(spare);
        assert!(cache.is_empty());
        let (mut start, mut parts, mut queries, mut key) = (0, vec![], vec![], None);
        for &cut in cuts {
            let output = feed(&model, &[&row[start..start + cut]], &mut cache);
            start += cut;
            assert_eq!(cache.len(), start);
            parts.push(output.hidden);
            queries.push(output.query);
            key = Some(output.key);
        }
        assert_close(&cache.last_key().unwrap(), &whole.key, TOLERANCE);
        assert_close(&Tensor::cat(parts, 1), &whole.hidden, TOLERANCE);
        assert_close(&Tensor::cat(queries, 2), &whole.query, TOLERANCE);
        assert_close(&key.unwrap(), &whole.key, TOLERANCE);
    }
}

/// Copies share their spare capacity until one of them writes there.
#[test]
fn copies_of_a_cache_go_on_apart() {
    CAPACITIES.into_iter().for_each(copies_go_on_apart);
}

fn copies_go_on_apart(spare: CacheCapacity) {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let read = |rows: &[&[i64]]| {
        let mut cache = model.new_cache();
        let last = rows.iter().map(|row| feed(&model, &[row], &mut cache));
        last.last().unwrap().hidden
    };
    let mut one = model.new_cache().with_capacity(spare);
    feed(&model, &[&[5, 17, 3]], &mut one);
    // The first token of its own allocates spare capacity.
    feed(&model, &[&[99]], &mut one);
    let mut other = one.clone();
    feed(&model, &[&[40]], &mut one);
    feed(&model, &[&[41]], &mut other);
    let shorter = one.truncate(4);
    for (mut cache, before) in [(one, Some(40)), (other, Some(41)), (shorter, None)] {
        let found = feed(&model, &[&[7]], &mut cache).hidden;
        let before = before.map(|id| vec![id]);
        let rows = [vec![5, 17, 3, 99]]
            .into_iter()
            .chain(before)
            .chain([vec![7]]);
        let rows: Vec<Vec<i64>> = rows.collect();
        let rows: Vec<&[i64]> = rows.iter().map(Vec::as_slice).collect();
        assert_close(&found, &read(&rows), TOLERANCE);
    }
}

#[test]
fn a_continued_batch_has_the_shapes_promised() {
    let config = LlamaConfig::tiny();
    let model = random_model::<TestBackend>(&config);
    let mut cache = model.new_cache();
    feed(&model, &[&[1, 2, 3], &[4, 5, 6]], &mut cache);
    let output = feed(&model, &[&[7, 8], &[9, 10]], &mut cache);
    assert_eq!(output.hidden.dims(), [2, 2, 32]);
    assert_eq!(output.query.dims(), [2, 4, 2, 8]);
    assert_eq!(output.key.dims(), [2, 2, 5, 8]);
    assert_eq!(cache.batch(), 2);
}

#[test]
fn padding_on_either_side_changes_nothing() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let plain = hidden(&model, &[&[5, 17, 3, 99]]);
    let run = |row: &[i64], padding: &[u8]| {
        let input = LlamaInput::new(model.embed(ids(&[row]))).with_padding(Some(mask(&[padding])));
        model.forward(input, None).hidden
    };
    let left = run(&[0, 77, 5, 17, 3, 99], &[1, 1, 0, 0, 0, 0]);
    assert_close(&left.narrow(1, 2, 4), &plain, TOLERANCE);
    let right = run(&[5, 17, 3, 99, 0, 77], &[0, 0, 0, 0, 1, 1]);
    assert_close(&right.narrow(1, 0, 4), &plain, TOLERANCE);
    let within = run(&[5, 17, 66, 3, 99], &[0, 0, 1, 0, 0]);
    assert_close(
        &within.clone().narrow(1, 0, 2),
        &plain.clone().narrow(1, 0, 2),
        TOLERANCE,
    );
    assert_close(&within.narrow(1, 3, 2), &plain.narrow(1, 2, 2), TOLERANCE);
}

#[test]
fn the_cache_remembers_its_padding() {
    CAPACITIES.into_iter().for_each(padding_is_remembered);
}

fn padding_is_remembered(spare: CacheCapacity) {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let plain = hidden(&model, &[&[5, 17, 3, 99]]);
    let mut cache = model.new_cache().with_capacity(spare);
    let prompt = LlamaInput::new(model.embed(ids(&[&[77, 5, 17], &[5, 17, 3]])))
        .with_padding(Some(mask(&[&[1, 0, 0], &[0, 0, 0]])));
    model.forward(prompt, Some(&mut cache));
    let next = feed(&model, &[&[3], &[99]], &mut cache);
    assert_close(
        &next.hidden.clone().narrow(0, 0, 1),
        &plain.clone().narrow(1, 2, 1),
        TOLERANCE,
    );
    assert_close(
        &next.hidden.narrow(0, 1, 1),
        &plain.clone().narrow(1, 3, 1),
        TOLERANCE,
    );
    let mut first = cache.select(&[0]);
    assert_close(
        &feed(&model, &[&[99]], &mut first).hidden,
        &plain.narrow(1, 3, 1),
        TOLERANCE,
    );
}

#[test]
fn a_repeated_prefix_is_separate_rows() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let mut cache = model.new_cache();
    feed(&model, &[&[1, 2, 3], &[4, 5, 6]], &mut cache);
    let mut repeated = cache.repeat(2);
    assert_eq!((repeated.batch(), repeated.len(), cache.batch()), (4, 3, 2));
    let output = feed(
        &model,
        &[&[7, 8], &[9, 10], &[11, 12], &[13, 14]],
        &mut repeated,
    );
    let whole: &[&[i64]] = &[
        &[1, 2, 3, 7, 8],
        &[1, 2, 3, 9, 10],
        &[4, 5, 6, 11, 12],
        &[4, 5, 6, 13, 14],
    ];
    let whole = hidden(&model, whole).narrow(1, 3, 2);
    assert_close(&output.hidden, &whole, TOLERANCE);

    let mut chosen = cache.select(&[1, 0, 1]);
    let output = feed(&model, &[&[13, 14], &[9, 10], &[11, 12]], &mut chosen);
    let rows = |row| whole.clone().narrow(0, row, 1);
    assert_close(
        &output.hidden,
        &Tensor::cat(vec![rows(3), rows(1), rows(2)], 0),
        TOLERANCE,
    );
}

#[test]
fn a_truncated_cache_goes_on_from_there() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let mut cache = model.new_cache();
    feed(&model, &[&[1, 2, 3, 90, 91]], &mut cache);
    let mut shorter = cache.truncate(3);
    assert_eq!(
        (shorter.len(), cache.len(), cache.truncate(0).len()),
        (3, 5, 0)
    );
    let whole = hidden(&model, &[&[1, 2, 3, 7]]).narrow(1, 3, 1);
    assert_close(
        &feed(&model, &[&[7]], &mut shorter).hidden,
        &whole,
        TOLERANCE,
    );
}

#[test]
fn gradients_flow_through_a_shared_prefix() {
    let config = LlamaConfig::tiny();
    let model = random_model::<TestAutodiff>(&config);
    let device = Default::default();
    let prefix = anyref_ops::testing::random::<TestAutodiff, 3>([1, 3, 32], 1, &device);
    let answers: &[&[i64]] = &[&[7, 8], &[9, 10], &[11, 12]];
    let loss = |hidden: Tensor<TestAutodiff, 3>| {
        let logits = model.logits(hidden);
        (logits.clone() * logits.tanh()).sum()
    };

    let shared = prefix.clone().require_grad();
    let mut cache = model.new_cache();
    model.forward(LlamaInput::new(shared.clone()), Some(&mut cache));
    let mut cache = cache.repeat(3);
    let output = feed(&model, answers, &mut cache);
    let mut grads = loss(output.hidden).backward();
    let shared = shared.grad_remove(&mut grads).unwrap();
    let cached = GradientsParams::from_grads(grads, &model);

    let separate = prefix.require_grad();
    let whole = Tensor::cat(
        vec![separate.clone().repeat_dim(0, 3), model.embed(ids(answers))],
        1,
    );
    let output = model.forward(LlamaInput::new(whole), None);
    let mut grads = loss(output.hidden.narrow(1, 3, 2)).backward();
    let separate = separate.grad_remove(&mut grads).unwrap();
    let uncached = GradientsParams::from_grads(grads, &model);

    let size = separate.clone().abs().max().into_scalar();
    assert!(size > 0.1, "the prefix has no influence: {size}");
    same_gradient(&shared, &separate);
    assert_eq!(cached.len(), uncached.len());
    let mut compare = Compare {
        left: &cached,
        right: &uncached,
        compared: 0,
    };
    model.visit(&mut compare);
    assert_eq!(compare.compared, cached.len());
}

/// Compares gradients relative to the greatest one, since sums over many positions differ in order.
fn same_gradient<const D: usize>(left: &Tensor<impl Backend, D>, right: &Tensor<impl Backend, D>) {
    let (left, right) = (left.to_data(), right.to_data());
    let size = right
        .iter::<f64>()
        .fold(0.0, |size: f64, x| size.max(x.abs()));
    let error = max_abs_difference(&left, &right);
    assert!(error <= 1e-5 * size, "{error:.1e} of {size:.1e}");
}

/// Compares two sets of gradients of one model.
struct Compare<'a> {
    left: &'a GradientsParams,
    right: &'a GradientsParams,
    compared: usize,
}

impl burn::module::ModuleVisitor<TestAutodiff> for Compare<'_> {
    fn visit_float<const D: usize>(
        &mut self,
        param: &burn::module::Param<Tensor<TestAutodiff, D>>,
    ) {
        let left = self.left.get::<TestBackend, D>(param.id).unwrap();
        let right = self.right.get::<TestBackend, D>(param.id).unwrap();
        same_gradient(&left, &right);
        self.compared += 1;
    }
}

#[test]
fn a_detached_prefix_gets_no_gradient() {
    let model = random_model::<TestAutodiff>(&LlamaConfig::tiny()).no_grad();
    let device = Default::default();
    let prefix = anyref_ops::testing::random::<TestAutodiff, 3>([1, 3, 32], 1, &device);
    let (prefix, next) = (
        prefix.clone().require_grad(),
        prefix.narrow(1, 0, 1).require_grad(),
    );
    let mut cache = model.new_cache();
    model.forward(LlamaInput::new(prefix.clone()), Some(&mut cache));
    let mut cache = cache.detach();
    let output = model.forward(LlamaInput::new(next.clone()), Some(&mut cache));
    let grads = output.hidden.sum().backward();
    assert!(prefix.grad(&grads).is_none());
    assert!(next.grad(&grads).is_some());
}

#[test]
fn rows_of_several_caches_go_on_together() {
    let model = random_model::<TestBackend>(&LlamaConfig::tiny());
    let (mut one, mut two) = (model.new_cache(), model.new_cache());
    feed(&model, &[&[1, 2, 3]], &mut one);
    let row: &[i64] = &[0, 4, 5];
    let padded = LlamaInput::new(model.embed(ids(&[row]))).with_padding(Some(mask(&[&[1, 0, 0]])));
    model.forward(padded, Some(&mut two));
    let mut together = KvCache::cat(&[one.clone(), two.clone(), one.clone()]);
    assert_eq!((together.batch(), together.len()), (3, 3));
    assert!(together.padding().is_some());
    let next: [&[i64]; 3] = [&[7, 8], &[9, 10], &[11, 12]];
    let all = feed(&model, &next, &mut together);
    for (index, mut cache) in [one.clone(), two, one.clone()].into_iter().enumerate() {
        let alone = feed(&model, &[next[index]], &mut cache);
        assert_close(
            &all.hidden.clone().narrow(0, index, 1),
            &alone.hidden,
            TOLERANCE,
        );
        assert_close(
            &all.query.clone().narrow(0, index, 1),
            &alone.query,
            TOLERANCE,
        );
    }
    assert!(KvCache::cat(&[one.clone()]).padding().is_none());
    assert_eq!(
        KvCache::cat(&[model.new_cache(), model.new_cache()]).len(),
        0
    );
}
