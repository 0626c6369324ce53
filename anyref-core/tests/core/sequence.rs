//! Reading a picture once and then questions about it equals reading the whole sequence.

use anyref_core::{AnyRef, Layout, ReferenceBank, splice};
use anyref_llm::LlamaInput;
use anyref_ops::testing::{assert_close, random};
use burn::tensor::Tensor;

use crate::common::{TestBackend, silent};

/// Sequence up to the picture's end, and the continuations by three questions.
fn layouts(anyref: &AnyRef<TestBackend>) -> (Vec<u32>, Vec<Vec<u32>>) {
    let special = anyref.special_tokens();
    let ids = |text: &str| anyref.tokenizer.encode(text, false).unwrap();
    let mut prefix = ids("the red circle in this image");
    prefix.extend([special.image_start, special.image_end].map(Option::unwrap));
    let mut marked = ids("Can you segment");
    marked.extend([
        special.reference_start.unwrap(),
        special.reference_end.unwrap(),
    ]);
    marked.extend(ids("in this image?"));
    (
        prefix,
        vec![
            ids("a dog"),
            marked,
            ids("is there a red circle in this image?"),
        ],
    )
}

#[test]
fn a_cached_prefix_and_a_padded_batch_change_nothing() {
    let device = Default::default();
    let anyref = silent::<TestBackend>(3);
    let (llm, special) = (&anyref.model.llm, anyref.special_tokens());
    let (prefix, questions) = layouts(&anyref);
    let image = random::<TestBackend, 3>([1, 16, 32], 1, &device);
    let mut bank = ReferenceBank::default();
    bank.push(random([1, 4, 32], 2, &device));
    let references = |index: usize| if index == 1 { &[(0, 4)][..] } else { &[] };

    let opening = Layout::new(&prefix, special, 16, &[]).unwrap();
    let opening = splice(llm, &[opening], Some(image.clone()), &bank, 0, &device);
    let mut picture = llm.new_cache();
    llm.forward(LlamaInput::new(opening.embeddings), Some(&mut picture));
    let past = picture.len();
    assert_eq!(past, prefix.len() + 16);

    let rows: Vec<_> = questions
        .iter()
        .enumerate()
        .map(|(index, ids)| Layout::new(ids, special, 0, references(index)).unwrap())
        .collect();
    let batch = splice(llm, &rows, None, &bank, past, &device);
    assert!(batch.padding.is_some());
    let input = LlamaInput::new(batch.embeddings).with_padding(batch.padding);
    let together = llm.forward(input, Some(&mut picture.repeat(3)));

    for (index, row) in rows.iter().enumerate() {
        let read = |x: Tensor<TestBackend, 3>| x.narrow(0, index, 1).narrow(1, 0, row.len());
        let alone = splice(llm, std::slice::from_ref(row), None, &bank, past, &device);
        let alone = llm
            .forward(
                LlamaInput::new(alone.embeddings),
                Some(&mut picture.clone()),
            )
            .hidden;
        assert_close(&read(together.hidden.clone()), &alone, 2e-5);

        let whole: Vec<u32> = prefix.iter().chain(&questions[index]).copied().collect();
        let whole = Layout::new(&whole, special, 16, references(index)).unwrap();
        let whole = splice(llm, &[whole], Some(image.clone()), &bank, 0, &device);
        let whole = llm.forward(LlamaInput::new(whole.embeddings), None);
        assert_close(&alone, &whole.hidden.narrow(1, past, row.len()), 2e-5);
        let keys = together
            .key
            .clone()
            .narrow(0, index, 1)
            .narrow(2, 0, past + row.len());
        assert_close(&keys, &whole.key, 2e-5);
    }
}
