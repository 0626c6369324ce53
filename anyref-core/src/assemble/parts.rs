//! The parts of an assembly, opened and compared.

use std::ffi::OsStr;
use std::path::Path;

use anyref_llm::peft::PeftAdapter;
use anyref_vision::projector::{ProjectorConfig, ProjectorKind};
use anyref_weights::{LoadOptions, check_module};
use burn::module::Module;
use burn::tensor::backend::Backend;

use super::assembly::Assembly;
use crate::official::{
    Kind, Language, MaskParts, Published, audio_config, audio_options, clip_config, clip_options,
    decoder_options, encoder_options, language, llama_options, llava_prompts, llava_resize,
    object_head_config, object_head_options, projector_kind, projector_options,
    region_encoder_config, region_encoder_options, sam_parts,
};
use crate::{AnyRefConfig, Error, Result};

/// The opened parts.
pub(super) struct Parts {
    pub(super) clip: Option<Published>,
    sam: Option<Published>,
    pub(super) imagebind: Option<Published>,
    pub(super) llm: Published,
    pub(super) language: Language,
    pub(super) adapter: Option<PeftAdapter>,
}

impl Parts {
    /// Opens the parts of an assembly.
    pub(super) fn open(assembly: &Assembly) -> Result<Self> {
        let llm = Published::open_as(
            &assembly.llm,
            "LLaMA, LLaVA, LISA or GLaMM",
            Kind::has_language,
        )
        .map_err(Error::of_part("llm"))?;
        Self::open_beside(llm, assembly)
    }

    /// Opens the parts of an assembly but for its language model, which is opened.
    pub(super) fn open_beside(llm: Published, assembly: &Assembly) -> Result<Self> {
        let language = language(&llm).map_err(Error::of_part("llm"))?;
        let clip = match &assembly.clip {
            Some(path) => Some(
                Published::open_as(path, "CLIP", |kind| kind == Kind::Clip)
                    .map_err(Error::of_part("clip"))?,
            ),
            None if llm.has_tower() => None,
            None => {
                let named = language.tower.as_ref();
                let named = named.map_or_else(String::new, |name| format!(" (it names {name})"));
                return Err(Error::folder(
                    &assembly.llm,
                    format!(
                        "has no picture encoder of its own{named}; give CLIP's folder by --clip or `clip` of a parts file"
                    ),
                ));
            }
        };
        let sam = match &assembly.sam {
            Some(path) => Some(
                Published::open_as(path, "SAM", Kind::has_sam).map_err(Error::of_part("sam"))?,
            ),
            None if llm.kind.is_some_and(Kind::has_object_head) || !assembly.masks => None,
            None => {
                let problem = "has no SAM of its own; give SAM's file or folder by --sam or `sam` of a parts file";
                return Err(Error::folder(&assembly.llm, problem));
            }
        };
        let imagebind = match &assembly.imagebind {
            Some(path) => Some(
                Published::open_as(path, "ImageBind", |kind| kind == Kind::ImageBind)
                    .map_err(Error::of_part("imagebind"))?,
            ),
            None => None,
        };
        let adapter = match &assembly.adapter {
            Some(folder) => {
                let adapter = PeftAdapter::open(folder).map_err(Error::from);
                Some(adapter.map_err(Error::of_part("adapter"))?)
            }
            None => None,
        };
        Ok(Self {
            clip,
            sam,
            imagebind,
            llm,
            language,
            adapter,
        })
    }

    /// Part with the picture encoder.
    pub(super) fn tower(&self) -> &Published {
        self.clip.as_ref().unwrap_or(&self.llm)
    }

    /// Part with SAM; `None` for a model that makes no masks.
    pub(super) fn sam(&self) -> Option<&Published> {
        self.sam
            .as_ref()
            .or(self.has_object_head().then_some(&self.llm))
    }

    /// Name of the part with SAM.
    fn sam_part(&self) -> &'static str {
        match self.sam {
            Some(_) => "sam",
            None => "llm",
        }
    }

    /// Returns whether the language model's folder is complete except for its picture encoder.
    fn is_published(&self) -> bool {
        self.sam.is_none() && self.imagebind.is_none() && self.adapter.is_none()
    }

    /// Returns whether the model is a LISA as published by its authors.
    pub(super) fn is_lisa(&self) -> bool {
        self.llm.kind == Some(Kind::Lisa) && self.is_published()
    }

    /// Tells a GLaMM as its authors published it.
    pub(super) fn is_glamm(&self) -> bool {
        self.llm.kind == Some(Kind::Glamm) && self.is_published()
    }

    /// Returns whether the model is a LLaVA as published by its authors, which makes no masks.
    pub(super) fn is_llava(&self) -> bool {
        self.llm.kind.is_some_and(Kind::is_llava) && self.is_published()
    }

    /// Returns whether the language model's part has an object head for SAM's prompts.
    pub(super) fn has_object_head(&self) -> bool {
        self.llm.kind.is_some_and(Kind::has_object_head)
    }

    /// Name of the part with the picture encoder.
    fn tower_part(&self) -> &'static str {
        match self.clip {
            Some(_) => "clip",
            None => "llm",
        }
    }

    /// The config of the whole, with the language model's own vocabulary.
    pub(super) fn config(&self, name: Option<&OsStr>) -> Result<AnyRefConfig> {
        let mut config = match self.is_lisa() {
            true => AnyRefConfig::lisa_7b(),
            false if self.is_glamm() => AnyRefConfig::glamm_7b(),
            false if self.is_llava() => AnyRefConfig::llava_7b(),
            false => AnyRefConfig::anyref_7b(),
        };
        if let Some(name) = name {
            config.name = name.to_string_lossy().into_owned();
        }
        if self.is_llava() {
            config.clip_resize = llava_resize(&self.llm)?;
            config.prompts = llava_prompts(&self.llm, &config.name);
        }
        let tower = self.tower_part();
        let clip = clip_config(self.tower()).map_err(Error::of_part(tower))?;
        config.vision_tower = clip.into();
        if let Some(layer) = self.language.select_layer {
            config.vision_select_layer = layer;
        }
        config.mm_projector = if self.has_projector() {
            projector_kind(&self.llm).map_err(Error::of_part("llm"))?
        } else {
            ProjectorKind::Linear
        };
        if let Some(sam) = self.sam() {
            let sam = sam_parts(sam).map_err(Error::of_part(self.sam_part()))?;
            config.image_encoder = Some(sam.image_encoder.into());
            config.prompt_encoder = Some(sam.prompt_encoder);
            config.mask_decoder = Some(sam.mask_decoder.into());
        }
        if self.is_glamm() {
            let regions = region_encoder_config(&self.llm).map_err(Error::of_part("llm"))?;
            config.region_encoder = Some(regions);
        }
        let audio = self.imagebind.as_ref().map(audio_config).transpose();
        config.audio = audio.map_err(Error::of_part("imagebind"))?;
        config.llm = self.language.llm.clone();
        // Folded in on the way.
        config.lora = None;
        let named =
            |path: &Path, error: &dyn std::fmt::Display| Error::folder(path, error.to_string());
        if self.has_object_head() {
            self.check_object_head(&config)?;
        }
        // Checks the tower; the parts of SAM and ImageBind are consistent by construction.
        config
            .validate()
            .map_err(|error| named(&self.tower().path, &error))?;
        config
            .vision_tower
            .layers_until(config.vision_select_layer)
            .map_err(|error| named(&self.llm.path, &error))?;
        Ok(config)
    }

    /// Returns whether the language model's part has a projector.
    pub(super) fn has_projector(&self) -> bool {
        self.llm.kind.is_some_and(Kind::has_projector)
    }

    /// Refuses an object head that does not stand between this language model and this SAM.
    fn check_object_head(&self, config: &AnyRefConfig) -> Result<()> {
        let head = object_head_config(&self.llm).map_err(Error::of_part("llm"))?;
        let masks = config.mask_decoder.as_ref().ok_or(Error::NoMasks)?;
        let (hidden, prompts) = (config.llm.hidden_size, masks.sizes().transformer_dim);
        if (head.input_dim, head.output_dim) == (hidden, prompts) {
            return Ok(());
        }
        let problem = format!(
            "an object head from {} to {} does not fit a language model of {hidden} and a mask decoder of {prompts}; use \
             the parts that belong together",
            head.input_dim, head.output_dim
        );
        Err(Error::of_part("llm")(Error::folder(
            &self.llm.path,
            problem,
        )))
    }

    /// Compares every part with its module, before anything is written.
    pub(super) fn check<B: Backend>(
        &self,
        config: &AnyRefConfig,
        device: &B::Device,
    ) -> Result<()> {
        let (tower, llm) = (self.tower(), &self.llm);
        check(
            self.tower_part(),
            &config.vision_tower.init::<B>(device),
            tower,
            &clip_options(tower.kind),
        )?;
        if self.has_projector() {
            let projector =
                ProjectorConfig::new(config.vision_tower.hidden_size(), config.llm.hidden_size)
                    .with_kind(config.mm_projector)
                    .init::<B>(device);
            check("llm", &projector, llm, &projector_options(llm.kind))?;
        }
        if let (Some(parts), Some(sam)) = (config.sam(), self.sam()) {
            let sam_part = self.sam_part();
            check(
                sam_part,
                &parts.image_encoder.init::<B>(device),
                sam,
                &encoder_options(sam.kind),
            )?;
            let masks = MaskParts::<B> {
                prompt_encoder: parts.prompt_encoder.init::<B>(device),
                mask_decoder: parts.mask_decoder.init::<B>(device),
            };
            check(sam_part, &masks, sam, &decoder_options(sam.kind))?;
        }
        if self.has_object_head() {
            let head = object_head_config(llm)?.init::<B>(device);
            check("llm", &head, llm, &object_head_options())?;
        }
        if let Some(regions) = &config.region_encoder {
            let encoder = regions.init::<B>(device);
            check("llm", &encoder, llm, &region_encoder_options())?;
        }
        if let (Some(audio), Some(imagebind)) = (&config.audio, &self.imagebind) {
            let encoder = audio.encoder.init::<B>(device);
            check("imagebind", &encoder, imagebind, &audio_options())?;
        }
        check(
            "llm",
            &config.llm.init::<B>(device),
            llm,
            &llama_options(config.llm.tie_word_embeddings),
        )
    }

    /// Size of the vocabulary: the adapter's if it has embeddings, otherwise as many as the model
    /// and the tokenizer need.
    pub(super) fn vocabulary(&self, known: usize, tokens: usize) -> Result<usize> {
        let saved = |name: &str| {
            let adapter = self.adapter.as_ref()?;
            let (_, entry) = adapter.saved().find(|(saved, _)| *saved == name)?;
            entry.shape.first().copied()
        };
        let saved = saved("model.embed_tokens.weight").or_else(|| saved("lm_head.weight"));
        match saved {
            Some(rows) if rows < tokens => {
                let adapter = self.adapter.as_ref().map(|adapter| adapter.path());
                Err(Error::folder(
                    adapter.unwrap_or(Path::new("")),
                    format!(
                        "brings embeddings of {rows} tokens and the tokenizer has {tokens}; put the tokenizer it was trained with into its folder"
                    ),
                ))
            }
            Some(rows) => Ok(rows),
            None => Ok(known.max(tokens)),
        }
    }
}

/// Checks that a part fills a module.
fn check<B: Backend, M: Module<B>>(
    part: &'static str,
    module: &M,
    published: &Published,
    options: &LoadOptions,
) -> Result<()> {
    let report = check_module(module, &published.checkpoint, options)?;
    if report.is_complete() {
        return Ok(());
    }
    let mismatch = anyref_weights::Error::Mismatch(Box::new(report));
    Err(Error::of_part(part)(mismatch.into()))
}
