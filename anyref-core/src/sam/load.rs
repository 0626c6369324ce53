//! Loading of published SAMs.

use std::path::Path;

use anyref_weights::hub::refuse_location;
use anyref_weights::{LoadOptions, WeightType, load_module};
use burn::tensor::backend::Backend;

use super::config::SamConfig;
use super::model::SamModel;
use crate::assemble::parts_file;
use crate::folder::CONFIG_FILE;
use crate::official::{
    Kind, MaskParts, Published, decoder_options, encoder_options, is_published, sam_parts,
};
use crate::{ModelOptions, Result};

/// Extensions of files of weights.
const WEIGHTS: [&str; 4] = ["safetensors", "pth", "pt", "bin"];

/// The SAM at `path`, if what is there is one by itself: a file of weights, or a folder. Others are
/// none: an AnyRef, a LISA, parts.
///
/// # Errors
/// When a file is damaged, or the path is a location of the hub.
pub fn published_sam(path: &Path) -> Result<Option<Published>> {
    refuse_location(path)?;
    let own = path.join(CONFIG_FILE);
    if parts_file(path).is_some() || !path.exists() || (own.is_file() && !is_published(path)?) {
        return Ok(None);
    }
    let extension = path.extension().and_then(|extension| extension.to_str());
    if path.is_file() && !extension.is_some_and(|extension| WEIGHTS.contains(&extension)) {
        return Ok(None);
    }
    let published = match Published::open(path) {
        Ok(published) => published,
        // A folder of other things.
        Err(_) if path.is_dir() => return Ok(None),
        Err(error) => return Err(error),
    };
    let alone = matches!(
        published.kind,
        Some(Kind::SamAuthors | Kind::SamHuggingFace)
    );
    Ok(alone.then_some(published))
}

impl<B: Backend> SamModel<B> {
    /// Reads the authors' `.pth`, a folder of transformers' `SamModel`, or the SAM in a LISA,
    /// whichever size. Weights are converted to f32.
    ///
    /// # Errors
    /// When the file is missing, damaged or no SAM, or a tensor is missing or unexpected.
    pub fn load(path: &Path, device: &B::Device) -> Result<Self> {
        Self::load_with(path, ModelOptions::new(WeightType::F32), device)
    }

    /// As [`load`](Self::load), with weights as the options say.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when the device does not compute with the type asked for.
    pub fn load_with(path: &Path, options: ModelOptions, device: &B::Device) -> Result<Self> {
        let published = Published::open_as(path, "SAM", Kind::has_sam)?;
        Self::of_published(&published, options, device)
    }

    /// Reads an opened SAM.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn of_published(
        published: &Published,
        options: ModelOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let types = options.load_options::<B>(device)?;
        let typed = |names: LoadOptions| LoadOptions {
            rename: names.rename,
            allow_unused: names.allow_unused,
            ..types.clone()
        };
        let config: SamConfig = sam_parts(published)?;
        config.validate()?;
        let (checkpoint, kind) = (&published.checkpoint, published.kind);
        let mut image_encoder = config.image_encoder.init::<B>(device);
        load_module(
            &mut image_encoder,
            checkpoint,
            &typed(encoder_options(kind)),
        )?;
        let mut masks = MaskParts::<B> {
            prompt_encoder: config.prompt_encoder.init(device),
            mask_decoder: config.mask_decoder.init(device),
        };
        load_module(&mut masks, checkpoint, &typed(decoder_options(kind)))?;
        Ok(Self {
            image_encoder,
            prompt_encoder: masks.prompt_encoder,
            mask_decoder: masks.mask_decoder,
        })
    }
}
