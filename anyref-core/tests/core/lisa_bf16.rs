//! LISA with weights in bf16, beside the reference as its demonstration runs it, all in bf16.

use anyref_core::{Layout, ModelOptions, ReferenceBank, splice};
use anyref_llm::LlamaInput;
use anyref_vision::preprocess::{SamPreprocessor, open_image};
use anyref_weights::WeightType;
use anyref_weights::testing::Fixture;
use burn::tensor::{DType, Tensor};

use crate::common::TestBackend;
use crate::lisa::{expected, integers, lisa_with};
use crate::parts::published;

/// Unit roundoff of bf16, which keeps 8 binary digits.
const ROUNDING: f64 = 1.0 / 256.0;
/// Matrices between the picture and the logits, one behind the other: the patches, two layers of
/// CLIP and two of the language model with four each, the projector and the head.
const MATRICES: f64 = 19.0;

/// Norm of the difference of two tensors, as a share of the wanted one's norm.
fn away<const D: usize>(found: &Tensor<TestBackend, D>, wanted: &Tensor<TestBackend, D>) -> f64 {
    let values = |tensor: &Tensor<TestBackend, D>| -> Vec<f64> {
        let data = tensor.clone().into_data();
        data.iter::<f64>().collect()
    };
    let (found, wanted) = (values(found), values(wanted));
    assert_eq!(found.len(), wanted.len());
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>();
    let difference = squares(&mut found.iter().zip(&wanted).map(|(x, y)| x - y));
    (difference / squares(&mut wanted.iter().copied())).sqrt()
}

/// Distances of one output: ours and the reference's in bf16 from the reference in f32, and ours
/// from the reference in bf16.
struct Distances {
    ours: f64,
    reference: f64,
    between: f64,
}

/// The reference's outputs in f32 and in bf16.
struct Outputs {
    wide: Fixture,
    half: Fixture,
}

impl Outputs {
    fn distances<const D: usize>(&self, name: &str, found: Tensor<TestBackend, D>) -> Distances {
        let device = Default::default();
        let wide = self.wide.tensor(name, &device);
        let half = self.half.tensor(name, &device);
        Distances {
            ours: away(&found, &wide),
            reference: away(&half, &wide),
            between: away(&found, &half),
        }
    }
}

/// Logits, states and masks of both questions, the answers in f32 read at once.
fn distances() -> Vec<(String, Distances)> {
    let options = ModelOptions::new(WeightType::Bf16);
    let anyref = lisa_with(&published("lisa"), options).unwrap();
    let (model, device) = (&anyref.model, Default::default());
    let llm = &model.llm;
    let kept = llm.model.layers[0].mlp.up_proj.base_layer.weight.val();
    assert_eq!(kept.dtype(), DType::BF16);
    let outputs = Outputs {
        wide: expected(),
        half: Fixture::open(published("expected_lisa_bf16.safetensors")),
    };
    let pixels = outputs.wide.tensor("clip.pixels", &device);
    let features = model.picture_features(pixels).tokens;
    let image = open_image(published("lisa/picture.png")).unwrap();
    let pixels = SamPreprocessor::new(64).process(&image).pixels;
    let branch = model.mask_branch();
    let encoder = &branch.image_encoder;
    let embedding = encoder.forward(pixels.to_tensor(&device).unsqueeze());
    let object = anyref.special_tokens().object.unwrap();
    let mut found = Vec::new();
    for index in 0..2 {
        let name = |output: &str| format!("{index}.{output}");
        let mut ids = integers(&outputs.wide, &name("ids"));
        let tokens = integers(&outputs.wide, &name("tokens"));
        ids.extend(&tokens);
        let layout = Layout::new(&ids, anyref.special_tokens(), 16, &[]).unwrap();
        let bank = ReferenceBank::default();
        let input = splice(llm, &[layout], Some(features.clone()), &bank, 0, &device);
        let hidden = llm.forward(LlamaInput::new(input.embeddings), None).hidden;
        let before = hidden.dims()[1] - tokens.len() - 1;
        let logits = llm.logits(hidden.clone().narrow(1, before, 1));
        let states = tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| **token == object);
        let states = states.map(|(place, _)| hidden.clone().narrow(1, before + place, 1));
        let states = Tensor::cat(states.collect(), 1).squeeze_dim::<2>(0);
        let prompts = branch.text_hidden_fcs.forward(states.clone());
        let embedding = embedding.clone().repeat_dim(0, states.dims()[0]);
        let masks = model.decode_masks(embedding, prompts).low_res_masks;
        let logits = logits.squeeze_dims::<1>(&[0, 1]);
        for (output, distances) in [
            ("logits", outputs.distances(&name("logits"), logits)),
            ("states", outputs.distances(&name("states"), states)),
            (
                "low_res_masks",
                outputs.distances(&name("low_res_masks"), masks),
            ),
        ] {
            found.push((name(output), distances));
        }
    }
    found
}

/// Weights are rounded to the same values on both sides; the reference rounds all values besides.
/// Two errors of one size with independent signs are `sqrt(2)` apart from either in norm, so that
/// one output may be that much farther off by chance; all of them together may not be farther.
#[test]
fn bf16_is_as_near_to_f32_as_the_reference_in_bf16() {
    let (mut ours, mut reference) = (0.0, 0.0);
    // Each product rounds its weights and its values, and the errors add up like independent ones.
    let bound = (2.0 * MATRICES).sqrt() * ROUNDING;
    for (name, distances) in distances() {
        println!(
            "{name}: ours {:.2e}, the reference {:.2e}, between them {:.2e}, allowed {bound:.2e}",
            distances.ours, distances.reference, distances.between
        );
        assert!(distances.ours > 1e-3, "{name} is not of bf16");
        assert!(
            distances.ours <= 2f64.sqrt() * distances.reference,
            "{name}"
        );
        assert!(distances.between <= bound, "{name}");
        ours += distances.ours.powi(2);
        reference += distances.reference.powi(2);
    }
    assert!(ours <= reference, "{ours} {reference}");
}
