//! Parts that a published model takes from other repositories.

use std::path::{Path, PathBuf};

use anyref_weights::hub::{HubLocation, local_path};
use burn::tensor::backend::Backend;

use crate::model_place::ModelPlace;
use crate::official::language;
use crate::{
    AnyRefConfig, Error, ModelOptions, ReferenceKind, Result, SoundLabeller, SoundLabellerFiles,
    SoundLabellerOptions, SoundVocabulary,
};

/// Locations of parts that a model does not contain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Companions {
    /// CLIP's folder, for a LISA, a GLaMM or a LLaVA without its own.
    pub clip: Option<PathBuf>,
    /// ImageBind's file, which converts sounds to words for a model that was not trained with
    /// sounds. Requires [`clip`](Self::clip) for its vocabulary.
    pub imagebind: Option<PathBuf>,
    /// File of sound labels, one per line; defaults to AudioSet's.
    pub sound_labels: Option<PathBuf>,
    /// Folder that caches ImageBind's embeddings of the labels.
    pub cache: Option<PathBuf>,
}

impl Companions {
    /// Resolves the companions of the model at `path` to local files. `hf://` locations are
    /// fetched; if the CLIP of a LISA, GLaMM or LLaVA is not given, it is fetched from the
    /// repository named by its config.
    ///
    /// # Errors
    /// When a companion cannot be fetched, or the model's config cannot be read.
    pub fn resolve(&self, model: &ModelPlace) -> Result<Self> {
        let clip = match &self.clip {
            Some(clip) => Some(local(clip, "clip")?),
            None => tower_of(model)?
                .map(|tower| named_tower(model.path(), &tower))
                .transpose()?,
        };
        let imagebind = self.imagebind.as_deref();
        Ok(Self {
            clip,
            imagebind: imagebind.map(|path| local(path, "imagebind")).transpose()?,
            ..self.clone()
        })
    }

    /// Creates the labeller of sounds for a model; `None` if it was trained with sounds, or
    /// ImageBind is not given.
    ///
    /// # Errors
    /// When there is no CLIP from which the vocabulary could be read; also see
    /// [`SoundLabeller::open`].
    pub(crate) fn sound_labeller<B: Backend>(
        &self,
        config: &AnyRefConfig,
        weights: ModelOptions,
        device: &B::Device,
    ) -> Result<Option<SoundLabeller<B>>> {
        let Some(imagebind) = &self.imagebind else {
            return Ok(None);
        };
        if config.prompts.reads(ReferenceKind::Audio) {
            log::warn!(
                "the model was trained with sounds, so that ImageBind's labels are not used"
            );
            return Ok(None);
        }
        let clip = self.clip.clone().ok_or_else(|| {
            Error::folder(
                imagebind,
                "its labels are read by CLIP's vocabulary; give CLIP's folder by --clip",
            )
        })?;
        let files = SoundLabellerFiles {
            imagebind: imagebind.clone(),
            clip,
        };
        let vocabulary = match &self.sound_labels {
            Some(file) => SoundVocabulary::open(file)?,
            None => SoundVocabulary::audioset(),
        };
        let options = SoundLabellerOptions {
            weights,
            cache: self.cache.clone(),
            ..SoundLabellerOptions::default()
        };
        let labeller = SoundLabeller::open(&files, vocabulary, &options, device);
        labeller.map(Some).map_err(Error::of_part("imagebind"))
    }
}

fn local(path: &Path, part: &'static str) -> Result<PathBuf> {
    let path = local_path(path).map_err(Error::from);
    Ok(path.map_err(Error::of_part(part))?.into_owned())
}

/// Name of the tower that a published model takes from another repository.
fn tower_of(model: &ModelPlace) -> Result<Option<String>> {
    let ModelPlace::Published(published) = model else {
        return Ok(None);
    };
    match published.kind {
        Some(kind) if kind.has_projector() && !published.has_tower() => {
            Ok(language(published)?.tower)
        }
        _ => Ok(None),
    }
}

/// Location of a tower by its name in a config: a folder, or a repository.
fn named_tower(model: &Path, tower: &str) -> Result<PathBuf> {
    let folder = Path::new(tower);
    if folder.is_dir() {
        return Ok(folder.into());
    }
    let location = PathBuf::from(format!("hf://{tower}"));
    match HubLocation::in_path(&location) {
        Some(Ok(_)) => local(&location, "clip"),
        _ => Err(Error::folder(
            model,
            format!(
                "its config names {tower:?} as its picture encoder, which is neither a folder nor a repository; give CLIP's folder by --clip"
            ),
        )),
    }
}
