//! A Sa2VA as its authors publish it, which carries all its parts in one folder.

use std::ffi::OsStr;

use anyref_llm::Tokenizer;
use anyref_weights::{Checkpoint, LoadOptions, LoadReport, check_module};
use burn::tensor::backend::Backend;

use super::assembly::Assembly;
use super::plan::{Plan, Sources, Wanted, add, of_sources};
use super::tokenizer::with_masks;
use crate::official::{
    Published, Sa2vaParts, Sam2MaskParts, sa2va_parts, sam2_decoder_options, sam2_encoder_options,
    sam2_parts,
};
use crate::prompt_config::PromptConfig;
use crate::sam::{MaskDecoderKindConfig, MaskImageEncoderConfig};
use crate::tower::{TiledTowerConfig, TowerConfig};
use crate::{AnyRefConfig, Error, Result, Sam2Config};

/// The opened folder.
pub(super) struct Sa2va {
    published: Published,
    /// Tensors of all parts.
    checkpoint: Checkpoint,
    parts: Sa2vaParts,
    sam: Sam2Config,
}

impl Sa2va {
    /// Reads the configs of an opened Sa2VA, the language model of `assembly`.
    ///
    /// # Errors
    /// When it is one of an unsupported form or damaged, or other parts are given beside it.
    pub(super) fn of(published: Published, assembly: &Assembly) -> Result<Self> {
        let others = [
            ("clip", &assembly.clip),
            ("sam", &assembly.sam),
            ("imagebind", &assembly.imagebind),
            ("adapter", &assembly.adapter),
        ];
        if let Some((part, Some(path))) = others.into_iter().find(|(_, path)| path.is_some()) {
            let problem = "is no part of a Sa2VA, which carries all of its own; leave it out";
            return Err(Error::of_part(part)(Error::folder(path, problem)));
        }
        let parts = sa2va_parts(&published)?;
        let sam = sam2_parts(&published)?;
        Ok(Self {
            checkpoint: parts.checkpoint(&published)?,
            published,
            parts,
            sam,
        })
    }

    /// The config of the whole.
    ///
    /// # Errors
    /// When the parts do not fit one another.
    pub(super) fn config(&self, name: Option<&OsStr>) -> Result<AnyRefConfig> {
        let (parts, sam) = (&self.parts, self.sam.clone());
        let preset = AnyRefConfig::sa2va_1b();
        let config = AnyRefConfig {
            name: name.map_or(preset.name.clone(), |name| {
                name.to_string_lossy().into_owned()
            }),
            vision_tower: TowerConfig::InternVit(TiledTowerConfig {
                encoder: parts.tower.clone(),
                shuffle: parts.projector.shuffle,
                max_tiles: parts.max_tiles,
            }),
            vision_select_layer: parts.select_layer,
            image_encoder: Some(MaskImageEncoderConfig::Sam2(sam.image_encoder)),
            llm: parts.llm.clone(),
            prompt_encoder: Some(sam.prompt_encoder),
            mask_decoder: Some(MaskDecoderKindConfig::Sam2(sam.mask_decoder)),
            // A picture in all its tiles leaves room for more in a context of the usual length.
            max_new_tokens: (preset.max_new_tokens).min(parts.llm.max_position_embeddings / 4),
            prompts: PromptConfig::sa2va(parts.template)
                .with_begins_sequences(parts.begins_sequences),
            ..preset
        };
        let path = &self.published.path;
        (config.validate()).map_err(|error| Error::folder(path, error.to_string()))?;
        let head = &parts.head;
        let widths = [
            config.llm.hidden_size,
            self.sam.image_encoder.fpn_hidden_size,
        ];
        if [head.input_dim, head.output_dim] != widths {
            let problem = format!(
                "an object head from {} to {} does not fit a language model of {} and a SAM 2 of {}; download it again",
                head.input_dim, head.output_dim, widths[0], widths[1]
            );
            return Err(Error::folder(path, problem));
        }
        Ok(config)
    }

    /// Compares every part with its module.
    ///
    /// # Errors
    /// When a tensor is missing, unexpected or of another shape.
    pub(super) fn check<B: Backend>(&self, device: &B::Device) -> Result<()> {
        let (parts, sam, checkpoint) = (&self.parts, &self.sam, &self.checkpoint);
        let (options, kind) = (parts.options(), self.published.kind);
        let masks = Sam2MaskParts::<B> {
            prompt_encoder: sam.prompt_encoder.init(device),
            mask_decoder: sam.mask_decoder.init(device),
        };
        let encoder = sam.image_encoder.init::<B>(device);
        let projector = parts.projector.init::<B>(device)?;
        let head = parts.head.init::<B>(device);
        let (tower, llm) = (parts.tower.init::<B>(device), parts.llm.init::<B>(device));
        complete(check_module(&tower, checkpoint, &options.tower)?)?;
        complete(check_module(&projector, checkpoint, &options.projector)?)?;
        complete(check_module(&llm, checkpoint, &options.llm)?)?;
        complete(check_module(&head, checkpoint, &options.head)?)?;
        complete(check_module(
            &encoder,
            checkpoint,
            &sam2_encoder_options(kind),
        )?)?;
        complete(check_module(
            &masks,
            checkpoint,
            &sam2_decoder_options(kind),
        )?)
    }

    /// The folder's tokenizer.
    ///
    /// # Errors
    /// When there is none, or it lacks a token that the model's prompts need.
    pub(super) fn tokenizer(&self, prompts: &PromptConfig) -> Result<Tokenizer> {
        let folder = self.published.folder();
        let mut tokenizer = Tokenizer::from_folder(folder)?;
        let known = with_masks(&mut tokenizer, prompts);
        known.map_err(|error| Error::folder(folder, error.to_string()))?;
        Ok(tokenizer)
    }

    /// Tensors to write, of the folder's.
    ///
    /// # Errors
    /// When a tensor does not fit its parameter.
    pub(super) fn plan<B: Backend>(
        &self,
        config: &AnyRefConfig,
        assembly: &Assembly,
        device: &B::Device,
    ) -> Result<Plan> {
        let (checkpoint, kind) = (&self.checkpoint, self.published.kind);
        let options = self.parts.options();
        let mut sources = Sources::new();
        let mut from = |prefix: &str, options: &LoadOptions| -> Result<()> {
            add(&mut sources, prefix, checkpoint, options)
        };
        from("vision_tower.", &options.tower)?;
        from("mm_projector.", &options.projector)?;
        from("llm.", &options.llm)?;
        from("text_hidden_fcs.", &options.head)?;
        from("image_encoder.", &sam2_encoder_options(kind))?;
        from("", &sam2_decoder_options(kind))?;
        let wanted = Wanted::of(&config.init::<B>(device), assembly)?;
        of_sources(sources, None, config, &wanted, assembly)
    }
}

/// Refuses a part that does not fill its module.
fn complete(report: LoadReport) -> Result<()> {
    match report.is_complete() {
        true => Ok(()),
        false => Err(anyref_weights::Error::Mismatch(Box::new(report)).into()),
    }
}
