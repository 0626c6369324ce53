//! Mapping of the tensors of all files to the model's parameters.

use std::collections::{BTreeMap, BTreeSet};

use anyref_decoder::import::SEGMENT_ANYTHING;
use anyref_llm::peft::PeftAdapter;
use anyref_llm::{AskedForm, Fitting};
use anyref_ops::blocks::BlockType;
use anyref_vision::import::PROJECTOR_AUTHORS;
use anyref_weights::{
    Checkpoint, LoadOptions, OutputTensor, Parameter, Rename, TensorEntry, parameters,
    renamed_tensors,
};
use burn::tensor::DType;
use burn::tensor::backend::Backend;

use super::assembly::Assembly;
use super::parts::Parts;
use super::{fresh, grow};
use crate::encoder_blocks::EncoderBlocks;
use crate::encoder_format::EncoderFormat;
use crate::official::{
    audio_options, clip_options, decoder_options, encoder_options, llama_options,
    object_head_options, projector_options, region_encoder_options,
};
use crate::quantization::LANGUAGE_MODEL;
use crate::{AnyRefConfig, AnyRefModel, Error, Result};

/// Rename rules for tensors that the authors' training script writes beside the language model's
/// adapters.
const AUTHORS: &[Rename] = &[
    (r"^model\.text_hidden_fcs\.0\.0\.", "text_hidden_fcs.fc1."),
    (r"^model\.text_hidden_fcs\.0\.2\.", "text_hidden_fcs.fc2."),
    (r"^model\.audio_projector\.", "audio_projector."),
    (r"^model\.visual_model\.", ""),
    (r"^model\.(embed_tokens|norm|layers)\.", "llm.model.${1}."),
    (r"^lm_head\.", "llm.lm_head."),
];

/// Parameters that a part need not have.
const NEW: [&str; 4] = [
    "mm_projector.",
    "audio_projector.",
    "box_projector.",
    "text_hidden_fcs.",
];

/// Everything to write.
pub(super) struct Plan {
    pub(super) tensors: Vec<OutputTensor>,
    pub(super) fresh: Vec<String>,
    pub(super) merged: usize,
    pub(super) new_tokens: usize,
    /// Names of weights with rows of no whole blocks of the format asked for.
    pub(super) fell_back: Vec<String>,
}

/// Tensors by the names of a model's parameters.
pub(super) type Sources = BTreeMap<String, TensorEntry>;

/// Finds the source of every parameter of `model`.
pub(super) fn plan<B: Backend>(
    parts: &Parts,
    config: &AnyRefConfig,
    model: &AnyRefModel<B>,
    assembly: &Assembly,
) -> Result<Plan> {
    let wanted = Wanted::of(model, assembly)?;
    let mut sources = sources(parts, config)?;
    if let Some(adapter) = &parts.adapter {
        replace(&mut sources, adapter, &wanted.parameters)?;
    }
    of_sources(sources, parts.adapter.as_ref(), config, &wanted, assembly)
}

/// Parameters of a model.
pub(super) struct Wanted {
    parameters: BTreeMap<String, Parameter>,
    /// Names of the matrices of the encoders' layers, which can be in blocks.
    matrices: BTreeSet<String>,
}

impl Wanted {
    /// # Errors
    /// When an encoder that the model lacks is to be in blocks, or one of integers.
    pub(super) fn of<B: Backend>(model: &AnyRefModel<B>, assembly: &Assembly) -> Result<Self> {
        if assembly.encoders.audio.is_some() && model.audio_encoder.is_none() {
            let reason = "would be part of a model without ImageBind, whose matrices cannot be quantised; leave that out";
            return Err(Error::folder(&assembly.llm, reason));
        }
        let EncoderBlocks { vision, audio } = assembly.encoders;
        if [vision, audio].contains(&Some(EncoderFormat::Int8)) {
            let reason = "would be written with encoders of int8, which are made when a model is loaded; leave that out here, and give it to the command that answers";
            return Err(Error::folder(&assembly.llm, reason));
        }
        Ok(Self {
            parameters: parameters(model),
            matrices: model.encoder_matrix_names(),
        })
    }

    /// Form asked for a parameter.
    fn form(&self, name: &str, assembly: &Assembly) -> AskedForm {
        if self.matrices.contains(name) {
            let asked = assembly.encoders.of(name).and_then(EncoderFormat::written);
            return asked.map_or(AskedForm::AsStored, AskedForm::Blocks);
        }
        let rules = assembly.quantization.as_ref();
        let name = name.strip_prefix(LANGUAGE_MODEL);
        name.and_then(|name| Some(rules?.of(name)))
            .unwrap_or(AskedForm::AsStored)
    }
}

/// Tensors to write, of the tensors of all parts.
pub(super) fn of_sources(
    sources: Sources,
    adapter: Option<&PeftAdapter>,
    config: &AnyRefConfig,
    wanted: &Wanted,
    assembly: &Assembly,
) -> Result<Plan> {
    let parameters = &wanted.parameters;
    let mut plan = Plan {
        tensors: Vec::with_capacity(parameters.len()),
        fresh: Vec::new(),
        merged: 0,
        new_tokens: 0,
        fell_back: Vec::new(),
    };
    for (name, parameter) in parameters {
        let Some(entry) = sources.get(name) else {
            if !NEW.iter().any(|new| name.starts_with(new)) {
                return Err(Error::folder(
                    &assembly.llm,
                    format!("no part has a tensor for `{name}`; the parts do not fit this config"),
                ));
            }
            plan.tensors
                .push(drawn(name, parameter, parameters, assembly));
            plan.fresh.push(name.clone());
            continue;
        };
        let asked = wanted.form(name, assembly);
        let columns = parameter.shape.last().copied().unwrap_or(0);
        let fitting = match asked {
            AskedForm::Blocks(asked) => Some(Fitting::new(asked, columns)),
            AskedForm::Floats | AskedForm::AsStored => None,
        };
        if fitting.is_some_and(|fitting| fitting.fell_back) {
            plan.fell_back.push(name.clone());
        }
        let blocks = fitting.and_then(|fitting| fitting.block_type);
        // Rounded once.
        let given = match asked {
            AskedForm::Floats => Some(assembly.dtype.unwrap_or(entry.dtype)),
            _ => assembly.dtype.filter(|_| blocks.is_none()),
        };
        let dtype = given.unwrap_or(entry.dtype);
        let is_table =
            name.starts_with("llm.model.embed_tokens") || name.starts_with("llm.lm_head");
        let grows = is_table
            && entry.shape.len() == 2
            && entry.shape[0] < parameter.shape[0]
            && entry.shape[1..] == parameter.shape[1..];
        if grows {
            let spread = config.llm.initializer_range;
            let rows = parameter.shape[0];
            plan.new_tokens = rows - entry.shape[0];
            let grown = grow::grown(name, entry, rows, spread, assembly.seed, dtype);
            plan.tensors.push(in_blocks(grown, blocks));
            continue;
        }
        if entry.shape != parameter.shape {
            return Err(Error::folder(
                entry.path(),
                format!(
                    "`{}` is {:?} and the model's `{name}` {:?}; the parts do not fit one another",
                    entry.name, entry.shape, parameter.shape
                ),
            ));
        }
        let projection = name
            .strip_prefix("llm.")
            .and_then(|name| name.strip_suffix(".base_layer.weight"));
        match (projection, adapter) {
            (Some(projection), Some(adapter)) if adapter.projection(projection).is_some() => {
                let dtype = if blocks.is_some() { DType::F32 } else { dtype };
                let merged = merged(name, entry, adapter, projection, dtype);
                plan.tensors.push(in_blocks(merged, blocks));
                plan.merged += 1;
            }
            _ => {
                let tensor = OutputTensor::from_entry(name, entry, given);
                plan.tensors.push(in_blocks(tensor, blocks));
            }
        }
    }
    match adapter {
        Some(adapter) if plan.merged < adapter.projections().len() => Err(Error::folder(
            adapter.path(),
            "adapts projections that the language model does not have; use the model it was trained on",
        )),
        _ => Ok(plan),
    }
}

/// A matrix in blocks, where there is a format.
fn in_blocks(tensor: OutputTensor, block_type: Option<BlockType>) -> OutputTensor {
    match block_type {
        None => tensor,
        Some(block) => tensor.quantized(block).expect("rows of whole blocks"),
    }
}

/// The tensors of all parts by the names of the model's parameters.
fn sources(parts: &Parts, config: &AnyRefConfig) -> Result<Sources> {
    let mut sources = Sources::new();
    let mut add = |prefix: &str, checkpoint: &Checkpoint, options: &LoadOptions| {
        add(&mut sources, prefix, checkpoint, options)
    };
    let (tower, llm) = (parts.tower(), &parts.llm);
    add(
        "llm.",
        &llm.checkpoint,
        &llama_options(config.llm.tie_word_embeddings),
    )?;
    if parts.has_projector() {
        add(
            "mm_projector.",
            &llm.checkpoint,
            &projector_options(llm.kind),
        )?;
    }
    add(
        "vision_tower.",
        &tower.checkpoint,
        &clip_options(tower.kind),
    )?;
    if let Some(sam) = parts.sam() {
        add(
            "image_encoder.",
            &sam.checkpoint,
            &encoder_options(sam.kind),
        )?;
        add("", &sam.checkpoint, &decoder_options(sam.kind))?;
    }
    if parts.has_object_head() {
        add("text_hidden_fcs.", &llm.checkpoint, &object_head_options())?;
    }
    if config.region_encoder.is_some() {
        let options = region_encoder_options();
        add("region_encoder.", &llm.checkpoint, &options)?;
    }
    if let Some(imagebind) = &parts.imagebind {
        add("audio_encoder.", &imagebind.checkpoint, &audio_options())?;
    }
    Ok(sources)
}

/// Adds the tensors of a part below a prefix. Tensors without a parameter of their name are ignored
/// later.
pub(super) fn add(
    sources: &mut Sources,
    prefix: &str,
    checkpoint: &Checkpoint,
    options: &LoadOptions,
) -> Result<()> {
    for (name, entry) in renamed_tensors(checkpoint, options)? {
        sources.insert(format!("{prefix}{name}"), entry.clone());
    }
    Ok(())
}

/// Replaces tensors of the parts by those that an adapter holds whole.
fn replace(
    sources: &mut Sources,
    adapter: &PeftAdapter,
    wanted: &BTreeMap<String, Parameter>,
) -> Result<()> {
    for (theirs, name) in our_names(adapter)? {
        if !wanted.contains_key(&name) {
            return Err(Error::folder(
                adapter.path(),
                format!(
                    "holds `{theirs}`, which no part of the model takes; leave the adapter out or add the part"
                ),
            ));
        }
        sources.insert(name, adapter.checkpoint().require(&theirs)?.clone());
    }
    Ok(())
}

/// Tensors that an adapter holds whole, by their names in the file and ours.
pub(super) fn our_names(adapter: &PeftAdapter) -> Result<Vec<(String, String)>> {
    let mut options = adapter.load_options();
    // By way of a name that no rule matches, since each applies to what the one before left.
    for (from, to) in PROJECTOR_AUTHORS {
        options = options.with_rename(*from, format!("projector!{to}"));
    }
    let options = options
        .with_rename("^projector!", "mm_projector.")
        .with_renames(AUTHORS)
        .with_renames(SEGMENT_ANYTHING);
    let saved: Vec<&str> = adapter
        .saved()
        .map(|(_, entry)| entry.name.as_str())
        .collect();
    let renamed = renamed_tensors(adapter.checkpoint(), &options)?.into_iter();
    Ok(renamed
        .filter(|(_, entry)| saved.contains(&entry.name.as_str()))
        .map(|(name, entry)| (entry.name.clone(), name))
        .collect())
}

/// A new parameter, as torch's `Linear` draws it.
fn drawn(
    name: &str,
    parameter: &Parameter,
    wanted: &BTreeMap<String, Parameter>,
    assembly: &Assembly,
) -> OutputTensor {
    // A bias is bounded by the inputs of its weight.
    let weight = name
        .strip_suffix("bias")
        .map(|stem| format!("{stem}weight"));
    let weight = weight
        .and_then(|weight| wanted.get(&weight))
        .unwrap_or(parameter);
    let inputs = weight.shape.last().copied().unwrap_or(1);
    let (key, shape, seed) = (name.to_owned(), parameter.shape.clone(), assembly.seed);
    let dtype = assembly.dtype.unwrap_or(DType::F32);
    OutputTensor::new(name, dtype, shape.clone(), move || {
        Ok(fresh::linear(&shape, inputs, fresh::generator(seed, &key)))
    })
}

/// A projection with its adapter folded in.
fn merged(
    name: &str,
    entry: &TensorEntry,
    adapter: &PeftAdapter,
    projection: &str,
    dtype: DType,
) -> OutputTensor {
    let (entry, adapter) = (entry.clone(), adapter.clone());
    let projection = projection.to_owned();
    let tensor = name.to_owned();
    OutputTensor::new(name, dtype, entry.shape.clone(), move || {
        let failed = |error: anyref_llm::Error| anyref_weights::Error::Device {
            tensor: tensor.clone(),
            reason: error.to_string(),
        };
        let merged = adapter.merge(&projection, entry.read()?).map_err(failed)?;
        merged.map_or_else(|| entry.read(), Ok)
    })
}
