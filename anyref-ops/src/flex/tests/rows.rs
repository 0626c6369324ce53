use super::{TestAutodiff, TestBackend, difference, random, values};
use crate::assign_rows;
use burn::tensor::Tensor;

#[test]
fn rows_are_written_where_they_belong() {
    let (buffer, rows) = (random([2, 3, 7, 5], 1), random([2, 3, 2, 5], 2));
    for first in [0, 3, 5] {
        let place = [0..2, 0..3, first..first + 2, 0..5];
        let expected = buffer.clone().slice_assign(place, rows.clone());
        // An owned buffer, a shared one, a part of a larger one, and separated rows.
        let own = buffer.clone() * 1.0;
        assert_eq!(
            values(assign_rows(own, first, rows.clone())),
            values(expected.clone())
        );
        let before = values(buffer.clone());
        let found = assign_rows(buffer.clone(), first, rows.clone());
        assert_eq!(values(found), values(expected.clone()));
        assert_eq!(values(buffer.clone()), before);
        let part = Tensor::cat(vec![buffer.clone(), buffer.clone()], 2).narrow(2, 7, 7);
        let apart = rows.clone().swap_dims(1, 3) * 1.0;
        let found = assign_rows(part, first, apart.swap_dims(1, 3));
        assert_eq!(values(found), values(expected));
    }
}

/// Uniquely owned tensors are not copied.
#[test]
fn a_buffer_of_its_own_stays_where_it_is() {
    let address = |x: &Tensor<TestBackend, 4>| {
        let x: burn_flex::FlexTensor = crate::dispatch::to_primitive(x.clone());
        x.storage::<f32>().as_ptr() as usize
    };
    let mut buffer = random([1, 2, 64, 8], 1);
    let before = address(&buffer);
    for first in 0..4 {
        buffer = assign_rows(buffer, first, random([1, 2, 1, 8], 2));
    }
    assert_eq!(address(&buffer), before);
}

#[test]
fn gradients_go_through() {
    let buffer = Tensor::<TestAutodiff, 4>::from_inner(random([1, 2, 4, 3], 1)).require_grad();
    let rows = Tensor::<TestAutodiff, 4>::from_inner(random([1, 2, 1, 3], 2)).require_grad();
    let along = Tensor::from_inner(random([1, 2, 4, 3], 3));
    let grads = (assign_rows(buffer.clone(), 2, rows.clone()) * along.clone())
        .sum()
        .backward();
    let along = along.inner();
    let expected = along.clone().narrow(2, 2, 1);
    assert!(difference(rows.grad(&grads).unwrap(), expected) < 1e-6);
    let kept = buffer.grad(&grads).unwrap();
    let sum: f32 = kept.clone().narrow(2, 2, 1).abs().sum().into_scalar();
    assert_eq!(sum, 0.0);
    assert!(difference(kept.narrow(2, 0, 2), along.narrow(2, 0, 2)) < 1e-6);
}
