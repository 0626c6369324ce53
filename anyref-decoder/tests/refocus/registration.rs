//! Forms of backends that the crate knows nothing of.

use anyref_decoder::refocus::{has_own_form, reference, refocus, register_form};
use burn::backend::Autodiff;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::problem::Problem;

/// A backend without a form; no other test takes it.
type Unknown = Autodiff<Autodiff<burn_flex::Flex>>;

#[test]
fn a_registered_form_takes_the_place_of_the_composed_one() {
    assert!(!has_own_form::<Unknown>());
    let problem = Problem::random(&mut StdRng::seed_from_u64(12));
    let run = || {
        let input = problem.input(problem.tensors::<Unknown>());
        refocus(input).into_data().iter::<f32>().collect::<Vec<_>>()
    };
    let composed = run();
    register_form::<Unknown>(|input| reference::refocus(input).neg());
    assert!(has_own_form::<Unknown>());
    let negated: Vec<f32> = composed.iter().map(|value| -value).collect();
    assert!(composed.iter().any(|value| *value != 0.0));
    assert_eq!(run(), negated);
}
