//! Strict loading: accepted, reported and unchanged tensors.

mod common;

use anyref_ops::testing::{assert_close, fill};
use anyref_weights::testing::Fixture;
use anyref_weights::{
    Checkpoint, Error, LoadOptions, LoadReport, SaveOptions, WeightType, load_module, save_module,
};
use burn::backend::Autodiff;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};
use common::{Net, TestBackend, fixture};

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(fixture(name)).unwrap()
}

/// Report of a load that must fail.
fn mismatch<B: Backend>(net: &mut Net<B>, name: &str, options: &LoadOptions) -> LoadReport {
    match load_module(net, &open(name), options) {
        Err(Error::Mismatch(report)) => *report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn prefix_and_renames_apply_in_order() {
    let mut net = Net::<TestBackend>::new(&Default::default());
    let options = LoadOptions::default().with_prefix("model.");
    assert_eq!(
        load_module(&mut net, &open("net_nested.pt"), &options)
            .unwrap()
            .loaded
            .len(),
        16
    );

    let options = LoadOptions::default()
        .with_rename(r"^model\.", "net.")
        .with_rename(r"^net\.(layers)\.(\d+)\.", "${1}.${2}.")
        .with_rename(r"^net\.", "");
    assert_eq!(
        load_module(&mut net, &open("net_nested.pt"), &options)
            .unwrap()
            .loaded
            .len(),
        16
    );
}

#[test]
fn names_that_do_not_match_are_reported_with_a_suggestion() {
    let mut net = Net::<TestBackend>::new(&Default::default());
    let options = LoadOptions::default().with_rename(r"\.fc\.", ".fc1.");
    let report = mismatch(&mut net, "net.safetensors", &options);
    assert_eq!(report.missing.len(), 4);
    assert_eq!(report.missing[0], "layers.0.fc.bias");
    assert_eq!(report.unexpected[0].name, "layers.0.fc.bias");
    assert_eq!(report.unexpected[0].renamed, "layers.0.fc1.bias");
    assert!(report.wrong_shape.is_empty());
    let line = report.to_string();
    assert!(
        line.contains("4 missing: `layers.0.fc.bias` (did you mean `layers.0.fc1.bias`?)"),
        "{line}"
    );
    assert!(line.len() < 900 && !line.contains('\n'), "{line}");
}

#[test]
fn allow_lists_accept_what_they_name_and_no_more() {
    let mut net = fill(Net::<TestBackend>::new(&Default::default()), 1, 1.0);
    let before = net.head.bias.as_ref().unwrap().val();
    let options = LoadOptions::default()
        .with_rename(r"^head\.bias$", "other.bias")
        .with_allow_missing(r"^head\.bias$")
        .with_allow_unused(r"^other\.");
    let report = load_module(&mut net, &open("net.safetensors"), &options).unwrap();
    assert_eq!(report.allowed_missing, ["head.bias"]);
    assert_eq!(report.allowed_unused, ["head.bias"]);
    assert_eq!(report.loaded.len(), 15);
    assert_close(&net.head.bias.as_ref().unwrap().val(), &before, 0.0);

    let options = options.with_rename(r"^token\.", "tokens.");
    let report = mismatch(&mut net, "net.safetensors", &options);
    assert_eq!(report.missing, ["token.weight"]);
    assert_eq!(report.unexpected.len(), 1);
}

#[test]
fn shapes_are_reported_in_pytorch_layout_and_nothing_changes() {
    let device = Default::default();
    let mut net = fill(Net::<TestBackend>::new(&device), 2, 1.0);
    net.head = burn::nn::LinearConfig::new(6, 3).init(&device);
    let before = net.conv.weight.val();
    let report = mismatch(&mut net, "net.safetensors", &LoadOptions::default());
    assert_eq!(report.wrong_shape.len(), 2);
    assert_eq!(report.wrong_shape[1].name, "head.weight");
    assert_eq!(report.wrong_shape[1].expected, [3, 6]);
    assert_eq!(report.wrong_shape[1].found, [4, 6]);
    assert_close(&net.conv.weight.val(), &before, 0.0);
}

#[test]
fn integers_do_not_fill_weights() {
    let mut net = Net::<TestBackend>::new(&Default::default());
    let options = LoadOptions::default().with_rename(r"^ints$", "position");
    let report = mismatch(&mut net, "views.pt", &options);
    assert_eq!(report.wrong_shape.len(), 1, "the shape is compared first");

    #[derive(Module, Debug)]
    struct One<B: Backend> {
        ints: Param<Tensor<B, 1>>,
    }
    let ints = burn::nn::Initializer::Zeros.init([2], &Default::default());
    let mut one = One::<TestBackend> { ints };
    let options = LoadOptions::default().with_allow_unused(".");
    match load_module(&mut one, &open("views.pt"), &options) {
        Err(Error::Mismatch(report)) => assert_eq!(report.wrong_type[0].found, DType::I64),
        other => panic!("{other:?}"),
    }
}

#[test]
fn colliding_renames_and_bad_patterns_are_errors() {
    let mut net = Net::<TestBackend>::new(&Default::default());
    let options = LoadOptions::default().with_rename(r"layers\.\d", "layers.0");
    let error = load_module(&mut net, &open("net.pt"), &options).unwrap_err();
    assert!(matches!(error, Error::RenameClash { .. }), "{error}");
    for options in [
        LoadOptions::default().with_rename("(", ""),
        LoadOptions::default().with_allow_missing("["),
        LoadOptions::default().with_allow_unused("*"),
    ] {
        let error = load_module(&mut net, &open("net.pt"), &options).unwrap_err();
        assert!(matches!(error, Error::Pattern { .. }), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn cast_gives_one_type_and_none_keeps_the_files() {
    for (cast, expected) in [
        (Some(DType::F32), DType::F32),
        (Some(DType::F16), DType::F16),
        (None, DType::BF16),
    ] {
        let mut net = Net::<TestBackend>::new(&Default::default());
        let options = LoadOptions::default().with_cast(cast);
        load_module(&mut net, &open("net_bf16.safetensors"), &options).unwrap();
        assert_eq!(net.head.weight.val().dtype(), expected);
        assert_eq!(net.layers[1].norm.beta.val().dtype(), expected);
    }
    let mut net = Net::<TestBackend>::new(&Default::default());
    let options = LoadOptions::default().with_cast(Some(DType::I64));
    assert!(matches!(
        load_module(&mut net, &open("net.pt"), &options),
        Err(Error::DType { .. })
    ));
}

#[test]
fn a_half_precision_file_loads_as_its_own_values_in_f32() {
    let device = Default::default();
    let mut net = Net::<TestBackend>::new(&device);
    load_module(&mut net, &open("net_bf16.bin"), &LoadOptions::default()).unwrap();
    let bf16 = Fixture::open(fixture("net_bf16.safetensors"));
    let wanted = bf16.data("head.weight").convert_dtype(DType::F32);
    assert_close(
        &net.head.weight.val().transpose(),
        &Tensor::from_data(wanted, &device),
        0.0,
    );
}

#[test]
fn parameters_stay_uninitialised_until_replaced() {
    /// Mapper that fails on every initialisation.
    struct Forbid;
    impl<B: Backend> ModuleMapper<B> for Forbid {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
            let (id, device, shape) = (param.id, param.lazy_device(), param.lazy_shape());
            Param::uninitialized(id, |_, _| panic!("initialised"), device, true, shape)
        }
    }
    let mut net = Net::<TestBackend>::new(&Default::default()).map(&mut Forbid);
    let options = LoadOptions::default()
        .with_prefix("model.")
        .with_rename("^head.bias$", "gone")
        .with_allow_missing("^head.bias$")
        .with_allow_unused("^gone$");
    load_module(&mut net, &open("net_nested.pt"), &options).unwrap();
    assert!(net.head.weight.is_initialized());
    assert!(!net.head.bias.as_ref().unwrap().is_initialized());
}

#[test]
fn autodiff_modules_keep_their_gradients_setting() {
    type Ad = Autodiff<TestBackend>;
    let device = Default::default();
    let mut net = Net::<Ad>::new(&device);
    net.token = net.token.no_grad();
    load_module(&mut net, &open("net.safetensors"), &LoadOptions::default()).unwrap();
    assert!(net.head.weight.val().is_require_grad());
    assert!(!net.token.weight.val().is_require_grad());

    let io = Fixture::open(fixture("net_io.safetensors"));
    let logits = net.forward(io.tensor("pixels", &device), io.int_tensor("ids", &device));
    let gradients = logits.sum().backward();
    assert!(net.head.weight.val().grad(&gradients).is_some());
    assert!(net.token.weight.val().grad(&gradients).is_none());
}

#[test]
fn parameter_ids_are_kept() {
    let mut net = Net::<TestBackend>::new(&Default::default());
    let id = net.head.weight.id;
    load_module(&mut net, &open("net.safetensors"), &LoadOptions::default()).unwrap();
    assert_eq!(net.head.weight.id, id);
    assert!(!net.head.weight.val().is_require_grad());
}

#[test]
fn seeded_filling_repeats() {
    let device = Default::default();
    let [a, b, c] = [7, 7, 8].map(|seed| fill(Net::<TestBackend>::new(&device), seed, 0.5));
    assert_close(&a.head.weight.val(), &b.head.weight.val(), 0.0);
    let difference = (a.head.weight.val() - c.head.weight.val())
        .abs()
        .max()
        .into_scalar();
    assert!(difference > 0.01);
    assert!(a.head.weight.val().abs().max().into_scalar() <= 0.5);
}

/// Keeps the matrices of linear layers in half precision and the rest in f32, and writes all of it
/// again in PyTorch's layout.
#[test]
fn matrices_may_stay_half_and_are_saved_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let mut net = Net::<TestBackend>::new(&Default::default());
    load_module(&mut net, &open("net.safetensors"), &LoadOptions::default()).unwrap();
    let halves = folder.path().join("half.safetensors");
    let as_half = SaveOptions::default().with_dtype(Some(DType::BF16));
    save_module(&net, &halves, &as_half).unwrap();
    for (dtype, kept) in [
        (WeightType::Auto, DType::BF16),
        (WeightType::F16, DType::F16),
        (WeightType::F32, DType::F32),
    ] {
        let mut half = Net::<TestBackend>::new(&Default::default());
        let options = LoadOptions::default().with_matrices(Some(dtype));
        load_module(&mut half, &Checkpoint::open(&halves).unwrap(), &options).unwrap();
        let fc = &half.layers[1].fc;
        assert_eq!(fc.weight.val().dtype(), kept);
        assert_eq!(fc.weight.dims(), net.layers[1].fc.weight.dims());
        for rest in [
            fc.bias.as_ref().unwrap().val().dtype(),
            half.conv.weight.val().dtype(),
            half.token.weight.val().dtype(),
            half.layers[0].norm.gamma.val().dtype(),
        ] {
            assert_eq!(rest, DType::F32);
        }
        let weight = half.head.weight.val().cast(DType::F32);
        let rounded = net.head.weight.val().cast(DType::BF16).cast(DType::F32);
        assert_close(&weight, &rounded, 1e-6);

        let again = folder.path().join("again.safetensors");
        save_module(&half, &again, &as_half).unwrap();
        let tensor = |file: &std::path::Path| {
            let file = Checkpoint::open(file).unwrap();
            file.require("head.weight").unwrap().read().unwrap()
        };
        if kept == DType::BF16 {
            assert_eq!(tensor(&again), tensor(&halves));
        }
        assert_eq!(tensor(&again).shape, tensor(&halves).shape);
    }
}
