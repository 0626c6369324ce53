//! Trained parameters of a model in the form of the authors' training script, a PEFT folder.

use std::collections::BTreeSet;
use std::path::Path;

use anyref_llm::LoraConfig;
use anyref_llm::peft::{SaveAdapter, save_adapter as save_peft};
use anyref_weights::{SaveOptions, output_tensors};
use burn::tensor::backend::Backend;

use crate::{AnyRefModel, Error, Result};

/// Modules that the authors train whole: prefix of our names, prefix of theirs, and PEFT's name of
/// the module.
const WHOLE: [(&str, &str, &str); 9] = [
    (
        "llm.model.embed_tokens.",
        "model.embed_tokens.",
        "embed_tokens",
    ),
    ("llm.lm_head.", "lm_head.", "lm_head"),
    (
        "text_hidden_fcs.fc1.",
        "model.text_hidden_fcs.0.0.",
        "text_hidden_fcs",
    ),
    (
        "text_hidden_fcs.fc2.",
        "model.text_hidden_fcs.0.2.",
        "text_hidden_fcs",
    ),
    (
        "audio_projector.",
        "model.audio_projector.",
        "audio_projector",
    ),
    (
        "mask_decoder.mask_tokens.",
        "model.visual_model.mask_decoder.mask_tokens.",
        "mask_tokens",
    ),
    (
        "mask_decoder.output_upscaling.conv1.",
        "model.visual_model.mask_decoder.output_upscaling.0.",
        "output_upscaling",
    ),
    (
        "mask_decoder.output_upscaling.layer_norm.",
        "model.visual_model.mask_decoder.output_upscaling.1.",
        "output_upscaling",
    ),
    (
        "mask_decoder.output_upscaling.conv2.",
        "model.visual_model.mask_decoder.output_upscaling.3.",
        "output_upscaling",
    ),
];
/// A module that has the same names in both.
const SAME: (&str, &str) = (
    "mask_decoder.output_hypernetworks_mlps.",
    "output_hypernetworks_mlps",
);

/// Writes the adapters of the language model, created with `lora`, and all other `trained`
/// parameters, by their names in the model, as a PEFT folder that [`Assembly`](super::Assembly)
/// accepts.
///
/// # Errors
/// When the model has no adapter, when a trained parameter has no place in a PEFT folder, or when
/// writing fails.
pub fn save_adapter<B: Backend>(
    model: &AnyRefModel<B>,
    lora: &LoraConfig,
    trained: &BTreeSet<String>,
    folder: &Path,
) -> Result<()> {
    let mut modules = BTreeSet::new();
    let mut extra = Vec::new();
    let tensors = output_tensors::<B, _>(model, &SaveOptions::default());
    for mut tensor in tensors {
        let name = tensor.name.clone();
        if !trained.contains(&name) || name.contains(".lora_") {
            continue;
        }
        let place = WHOLE.into_iter().find_map(|(ours, theirs, module)| {
            let rest = name.strip_prefix(ours)?;
            Some((format!("{theirs}{rest}"), module))
        });
        let place = place.or_else(|| {
            let (ours, module) = SAME;
            let theirs = format!("model.visual_model.{name}");
            name.starts_with(ours).then_some((theirs, module))
        });
        let Some((theirs, module)) = place else {
            return Err(Error::folder(
                folder,
                format!(
                    "cannot hold {name}, which was trained: an adapter has no place for it; write the whole model"
                ),
            ));
        };
        modules.insert(module);
        if !name.starts_with("llm.") {
            tensor.name = theirs;
            extra.push(tensor);
        }
    }
    let options = SaveAdapter {
        modules_to_save: modules.into_iter().map(str::to_owned).collect(),
        extra,
        task_type: Some("CAUSAL_LM".into()),
        ..SaveAdapter::default()
    };
    Ok(save_peft(&model.llm, lora, folder, options)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AnyRefConfig;
    use crate::assemble::plan::our_names;
    use anyref_llm::peft::PeftAdapter;
    use anyref_weights::parameters;
    use burn::backend::Flex;

    fn model(lora: &LoraConfig) -> AnyRefModel<Flex> {
        let mut model = AnyRefConfig::tiny().init::<Flex>(&Default::default());
        model.llm = model.llm.with_lora(lora).unwrap();
        model
    }

    fn trained(model: &AnyRefModel<Flex>, parts: &[&str]) -> BTreeSet<String> {
        let names = parameters::<Flex, _>(model).into_keys();
        let trained = |name: &String| parts.iter().any(|part| name.contains(part));
        names.filter(trained).collect()
    }

    #[test]
    fn an_adapter_goes_back_to_where_it_came_from() {
        let lora = LoraConfig::default();
        let model = model(&lora);
        let trained = trained(
            &model,
            &[
                ".lora_",
                "embed_tokens",
                "lm_head",
                "text_hidden_fcs",
                "audio_projector",
                "mask_tokens",
                "output_upscaling",
                "output_hypernetworks_mlps",
            ],
        );
        let folder = tempfile::tempdir().unwrap();
        save_adapter(&model, &lora, &trained, folder.path()).unwrap();
        let adapter = PeftAdapter::open(folder.path()).unwrap();
        // The projections are named one by one.
        let targets = &adapter.config.lora.target_modules;
        assert_eq!(targets.len(), 2 * model.llm.model.layers.len());
        let of = |target: &String| lora.target_modules.iter().any(|one| target.ends_with(one));
        assert!(targets.iter().all(of), "{targets:?}");
        let numbers = LoraConfig {
            target_modules: lora.target_modules.clone(),
            ..adapter.config.lora.clone()
        };
        assert_eq!(numbers, lora);
        // By the names of the authors' files, each leads to the parameter that it is of.
        let whole: BTreeSet<_> = trained
            .iter()
            .filter(|name| !name.contains(".lora_"))
            .collect();
        let names = our_names(&adapter).unwrap();
        let (theirs, ours): (Vec<_>, BTreeSet<_>) = names.into_iter().unzip();
        assert_eq!(ours.iter().collect::<BTreeSet<_>>(), whole);
        for name in [
            "model.text_hidden_fcs.0.2.bias",
            "model.visual_model.mask_decoder.output_upscaling.3.weight",
            "model.visual_model.mask_decoder.mask_tokens.weight",
            "lm_head.weight",
        ] {
            assert!(
                theirs.iter().any(|one| one.ends_with(name)),
                "{name}: {theirs:?}"
            );
        }
        assert_eq!(
            adapter.projections().len(),
            2 * model.llm.model.layers.len()
        );
    }

    #[test]
    fn what_has_no_place_is_named() {
        let lora = LoraConfig::default();
        let model = model(&lora);
        let folder = tempfile::tempdir().unwrap();
        let trained = trained(&model, &[".lora_", "mask_decoder.iou_token"]);
        let error = save_adapter(&model, &lora, &trained, folder.path()).unwrap_err();
        assert!(
            error.to_string().contains("mask_decoder.iou_token.weight"),
            "{error}"
        );
    }
}
