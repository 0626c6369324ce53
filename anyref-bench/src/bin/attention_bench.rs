//! Times burn's own attention against `ops::attention` on a backend, and how far each is from the
//! latter in f32 on the processor, for `cargo xtask bench attention`.
//!
//! Takes the backend's name, the repetitions, `both` or `own` (some devices have no room for
//! burn's), and cases `batch,heads,queries,keys,width`, after which `causal` may come, or `grid`
//! for a bias by relative positions over a square of keys, as in SAM's image encoder; prints a line
//! of a table for each and for each type of floats that the device has.

use std::any::TypeId;
use std::time::Instant;

use anyref_ops::DeviceWatch;
use anyref_ops::testing::random;
use anyref_ops::{self as ops, AttentionInput, RelativePosition};
use burn::backend::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Tensor};

type Failure = Box<dyn std::error::Error>;
/// Form of attention.
type Form<B> = fn(Given<B>) -> Tensor<B, 4>;

/// Sizes of an attention.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// Batch, heads, queries, keys and width of a head.
    sizes: [usize; 5],
    kind: Kind,
}

/// Inputs of an attention besides queries, keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Causal,
    Grid,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Full => "",
            Self::Causal => "causal",
            Self::Grid => "grid",
        }
    }
}

/// Arguments of an attention.
#[derive(Debug, Clone)]
struct Given<B: Backend> {
    /// Queries, keys and values.
    inputs: [Tensor<B, 4>; 3],
    causal: bool,
    position: Option<RelativePosition<B>>,
}

impl<B: Backend> Given<B> {
    fn input(self) -> AttentionInput<B> {
        let [query, key, value] = self.inputs;
        AttentionInput::new(query, key, value)
            .with_causal(self.causal)
            .with_relative_position(self.position)
    }

    fn cast(self, dtype: DType) -> Self {
        Self {
            inputs: self.inputs.map(|x| x.cast(dtype)),
            causal: self.causal,
            position: self.position.map(|position| RelativePosition {
                height: position.height.cast(dtype),
                width: position.width.cast(dtype),
            }),
        }
    }
}

/// Measurements to take of each case.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Number of timed runs.
    repeat: usize,
    /// Also measures burn's form.
    burns: bool,
}

/// Measurements of a form.
#[derive(Debug, Default)]
struct Measured {
    /// Milliseconds of each run.
    times: Vec<f64>,
    /// Greatest difference from the reference.
    error: f32,
}

impl Measured {
    fn median(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }
}

fn main() -> Result<(), Failure> {
    DeviceWatch::start().run(run)?
}

fn run() -> Result<(), Failure> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [backend, repeat, forms, cases @ ..] = &arguments[..] else {
        return Err(
            "give a backend, repetitions, both or own, and cases as batch,heads,queries,keys,width[,causal|,grid]"
                .into(),
        );
    };
    let plan = Plan {
        repeat: repeat.parse::<usize>()?.max(1),
        burns: match forms.as_str() {
            "both" => true,
            "own" => false,
            other => return Err(format!("{other} is neither both nor own").into()),
        },
    };
    let cases = cases.iter().map(|text| case(text));
    let cases = cases.collect::<Result<Vec<_>, _>>()?;
    match backend.as_str() {
        "flex" => bench::<Flex>(&plan, &cases),
        #[cfg(any(
            feature = "wgpu",
            feature = "vulkan",
            feature = "metal",
            feature = "webgpu"
        ))]
        "wgpu" | "vulkan" | "metal" | "webgpu" => bench::<burn::backend::Wgpu>(&plan, &cases),
        #[cfg(feature = "cuda")]
        "cuda" => bench::<burn::backend::Cuda>(&plan, &cases),
        other => Err(format!("no backend {other}: build with --features {other}").into()),
    }
}

fn on_processor<B: Backend>() -> bool {
    TypeId::of::<B>() == TypeId::of::<Flex>()
}

/// Float types that the model's values may have on the backend; f32 alone on the processor.
fn types<B: Backend>() -> &'static [DType] {
    match on_processor::<B>() {
        true => &[DType::F32],
        false => &[DType::F32, DType::F16, DType::BF16],
    }
}

fn case(text: &str) -> Result<Case, Failure> {
    let named = [Kind::Causal, Kind::Grid].into_iter().find_map(|kind| {
        let sizes = text.strip_suffix(kind.name())?.strip_suffix(',')?;
        Some((sizes, kind))
    });
    let (sizes, kind) = named.unwrap_or((text, Kind::Full));
    let sizes = sizes
        .split(',')
        .map(str::parse::<usize>)
        .collect::<Result<Vec<_>, _>>()?;
    let sizes: [usize; 5] = sizes
        .try_into()
        .map_err(|_| format!("{text} is not batch,heads,queries,keys,width[,causal|,grid]"))?;
    if kind == Kind::Grid && sizes[3].isqrt().pow(2) != sizes[3] {
        return Err(format!("{text}: {} keys are no square", sizes[3]).into());
    }
    Ok(Case { sizes, kind })
}

/// Random arguments, the same on every backend.
fn given<B: Backend>(case: &Case, device: &B::Device) -> Given<B> {
    let [batch, heads, queries, keys, width] = case.sizes;
    let side = keys.isqrt();
    let along = |seed| random::<B, 4>([batch, heads, queries, side], seed, device);
    Given {
        inputs: [(queries, 1), (keys, 2), (keys, 3)].map(|(length, seed)| {
            random::<B, 4>([batch, heads, length, width], seed, device) * 3.0
        }),
        causal: case.kind == Kind::Causal,
        position: (case.kind == Kind::Grid).then(|| RelativePosition {
            height: along(4),
            width: along(5),
        }),
    }
}

fn bench<B: Backend>(plan: &Plan, cases: &[Case]) -> Result<(), Failure> {
    let device = B::Device::default();
    for case in cases {
        let [batch, heads, queries, keys, width] = case.sizes;
        let expected = own(given::<Flex>(case, &Default::default()));
        let expected = Tensor::<B, 4>::from_data(expected.into_data(), &device);
        let given = given::<B>(case, &device);
        for &dtype in types::<B>() {
            if !B::supports_dtype(&device, dtype) {
                continue;
            }
            let given = given.clone().cast(dtype);
            let mut forms: Vec<Form<B>> = vec![own];
            if plan.burns {
                forms.push(burns);
            }
            let mut measured = forms
                .iter()
                .map(|_| Measured::default())
                .collect::<Vec<_>>();
            for (form, measured) in forms.iter().zip(&mut measured) {
                let found = form(given.clone()).cast(DType::F32);
                let error = (found - expected.clone()).abs().max().into_data();
                measured.error = error.iter::<f32>().next().unwrap_or(f32::NAN);
            }
            // The first two runs, which compile and choose kernels, are not counted.
            for run in 0..plan.repeat + 2 {
                for (form, measured) in forms.iter().zip(&mut measured) {
                    B::sync(&device)?;
                    let start = Instant::now();
                    let output = form(given.clone());
                    let _ = output.slice([0..1, 0..1, 0..1, 0..1]).into_data();
                    if run >= 2 {
                        measured.times.push(start.elapsed().as_secs_f64() * 1e3);
                    }
                }
            }
            let own = measured.remove(0);
            let [burns, ratio, error] = match measured.pop() {
                Some(burns) => [
                    format!("{:.2} ms", burns.median()),
                    format!("{:.2}", burns.median() / own.median()),
                    format!("{:.1e}", burns.error),
                ],
                None => ["–", "–", "–"].map(String::from),
            };
            let kind = case.kind.name();
            println!(
                "| {batch} x {heads} | {queries} | {keys} | {width} | {kind} | {} | {burns} | {:.2} ms | {ratio} | {error} | {:.1e} |",
                dtype.name(),
                own.median(),
                own.error
            );
        }
    }
    Ok(())
}

/// `burn::tensor::module::attention`. On a GPU relative positions go into queries and keys: with a
/// bias it would not consider its fused kernels.
fn burns<B: Backend>(given: Given<B>) -> Tensor<B, 4> {
    let mut input = given.input();
    let mut bias = None;
    if let Some(position) = input.relative_position.clone() {
        if on_processor::<B>() {
            let [batch, heads, queries, _] = input.query.dims();
            let height: Tensor<B, 5> = position.height.unsqueeze_dim(4);
            let grid = height + position.width.unsqueeze_dim(3);
            bias = Some(grid.reshape([batch, heads, queries, input.key.dims()[2]]));
        } else {
            input = input.folded();
        }
    }
    let mut query = input.query;
    if let Some(scale) = input.scale {
        // burn scales by the inverse root of the width, which this undoes.
        query = query.clone() * (scale * (query.dims()[3] as f64).sqrt());
    }
    let options = AttentionModuleOptions {
        is_causal: input.causal,
        ..AttentionModuleOptions::default()
    };
    attention(query, input.key, input.value, None, bias, options)
}

/// Attention of this crate, as the model uses it.
fn own<B: Backend>(given: Given<B>) -> Tensor<B, 4> {
    ops::attention(given.input())
}
