//! Refocusing on every compiled-in backend, compared with its definition (in loops and in f64),
//! with finite differences, and with the gradients of the composed form.

mod backward;
mod forward;
mod problem;
mod registration;

/// Instantiates all tests of a backend; random ones run `$cases` problems.
macro_rules! backend {
    ($name:ident, $backend:ty, $cases:expr) => {
        mod $name {
            type B = $backend;

            #[test]
            fn has_a_form_of_its_own() {
                crate::forward::has_a_form_of_its_own::<B>();
            }

            #[test]
            fn states_are_those_of_the_definition() {
                crate::forward::states_are_those_of_the_definition::<B>($cases);
            }

            #[test]
            fn one_object_a_row_is_the_definition_too() {
                crate::forward::one_object_a_row_is_the_definition_too::<B>($cases / 6);
            }

            #[test]
            fn long_contexts_and_wide_states_are_the_definition_too() {
                crate::forward::long_contexts_and_wide_states_are_the_definition_too::<B>();
            }

            #[test]
            fn an_empty_span_leaves_the_state_unchanged() {
                crate::forward::an_empty_span_leaves_the_state_unchanged::<B>();
            }

            #[test]
            fn large_scores_stay_finite_and_exact() {
                crate::forward::large_scores_stay_finite_and_exact::<B>($cases / 15);
            }

            #[test]
            fn padding_on_the_left_does_not_count() {
                crate::forward::padding_on_the_left_does_not_count::<B>();
            }

            #[test]
            fn other_types_are_formed_in_f32() {
                crate::forward::other_types_are_formed_in_f32::<B>();
            }

            #[test]
            fn the_longest_contexts_are_the_definition_in_every_type() {
                crate::forward::the_longest_contexts_are_the_definition_in_every_type::<B>();
            }

            #[test]
            fn permuted_arguments_give_the_same() {
                crate::forward::permuted_arguments_give_the_same::<B>();
            }

            #[test]
            fn no_object_gives_no_state() {
                crate::forward::no_object_gives_no_state::<B>();
            }

            #[test]
            fn every_run_gives_the_same_bits() {
                crate::backward::every_run_gives_the_same_bits::<B>();
            }

            #[test]
            fn gradients_are_finite_differences_of_the_definition() {
                crate::backward::gradients_are_finite_differences_of_the_definition::<B>(
                    $cases / 12,
                );
            }

            #[test]
            fn gradients_are_those_of_the_composed_form() {
                crate::backward::gradients_are_those_of_the_composed_form::<B>($cases / 10);
            }

            #[test]
            fn gradients_come_in_the_types_of_the_arguments() {
                crate::backward::gradients_come_in_the_types_of_the_arguments::<B>();
            }

            #[test]
            fn takes_part_in_longer_computations() {
                crate::backward::takes_part_in_longer_computations::<B>();
            }
        }
    };
}

backend!(flex, burn_flex::Flex, 300);

#[cfg(any(
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal",
    feature = "webgpu"
))]
mod wgpu {
    use burn::backend::wgpu::{CubeBackend, Wgpu, WgpuRuntime};

    backend!(kernels, super::CubeBackend<super::WgpuRuntime, f32, i32, u32>, 60);
    backend!(fusion, super::Wgpu, 60);
}

#[cfg(feature = "cuda")]
mod cuda {
    use burn::backend::Cuda;
    use burn_cubecl::CubeBackend;
    use cubecl::cuda::CudaRuntime;

    backend!(kernels, super::CubeBackend<super::CudaRuntime, f32, i32, u8>, 60);
    backend!(fusion, super::Cuda, 60);
}

/// Checks the backend types that can be selected by name.
#[cfg(any(
    feature = "wgpu",
    feature = "vulkan",
    feature = "metal",
    feature = "webgpu",
    feature = "cuda"
))]
#[test]
fn each_backend_of_burn_has_a_form_of_its_own() {
    #[cfg(feature = "wgpu")]
    forward::has_a_form_of_its_own::<burn::backend::Wgpu>();
    #[cfg(feature = "vulkan")]
    forward::has_a_form_of_its_own::<burn::backend::Vulkan>();
    #[cfg(feature = "metal")]
    forward::has_a_form_of_its_own::<burn::backend::Metal>();
    #[cfg(feature = "webgpu")]
    forward::has_a_form_of_its_own::<burn::backend::WebGpu>();
    #[cfg(feature = "cuda")]
    forward::has_a_form_of_its_own::<burn::backend::Cuda>();
}

/// An empty implementation and its gradient are composed of tensor operations.
#[test]
fn an_empty_implementation_is_the_composed_form() {
    backward::an_empty_implementation_is_the_composed_form();
}
