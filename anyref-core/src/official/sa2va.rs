//! Sa2VA over InternVL: the parts of its folder that read a picture and answer (`Sa2VAChatModel`).
//! SAM 2, below `grounding_encoder.sam2_model.`, is read as any other.

use anyref_decoder::ObjectHeadConfig;
use anyref_llm::import::{LLAMA_UNUSED, LM_HEAD};
use anyref_llm::{LlamaConfig, Tokenizer, intern_lm2_checkpoint};
use anyref_vision::import;
use anyref_vision::internvit::{InternVisionConfig, InternVlProjectorConfig, PixelShuffle};
use anyref_weights::{Checkpoint, LoadOptions, Rename};
use serde::de::DeserializeOwned;

use super::config_file::Section;
use super::language_family::LanguageFamily;
use super::published::{Published, SA2VA};
use super::shapes::Shapes;
use crate::prompt_config::Template;
use crate::{Error, Result};

/// Most tiles of a picture, which Sa2VA's code gives itself whatever its `config.json` says.
const MAX_TILES: usize = 12;
/// Names of all parts but the projector, for which a prefix would take the names that it is told
/// by.
const OTHERS: &str = r"^(?:vision_model|language_model|text_hidden_fcs|grounding_encoder)\.";
/// Names of the object head's layers by this workspace's.
const HEAD: &[Rename] = &[(r"^0\.", "fc1."), (r"^2\.", "fc2.")];
/// Class of the only picture encoders that are read.
const INTERN_VIT: &str = "InternVisionModel";
/// Models of the family that are read.
const SUPPORTED: &str = "Sa2VA-1B, Sa2VA-4B, Sa2VA-8B and the Sa2VA-InternVL3";

/// Configuration of a Sa2VA's parts.
#[derive(Debug, Clone)]
pub struct Sa2vaParts {
    /// Picture encoder.
    pub tower: InternVisionConfig,
    /// State of `[SEG]` that is read.
    pub select_layer: i32,
    /// Pixel shuffle and projector.
    pub projector: InternVlProjectorConfig,
    /// Most tiles of a picture, a thumbnail not counted.
    pub max_tiles: usize,
    /// Language model.
    pub llm: LlamaConfig,
    /// Family of the language model, which its tensors are named by.
    pub family: LanguageFamily,
    /// Conversation template.
    pub template: Template,
    /// Begin-of-sequence token before a conversation: `add_bos_token` of the tokenizer, or else as
    /// the family's has it.
    pub begins_sequences: bool,
    /// Head from the state of `[SEG]` itself to a prompt of SAM 2.
    pub head: ObjectHeadConfig,
}

/// Options that load the parts from their checkpoint.
#[derive(Debug, Clone)]
pub struct Sa2vaOptions {
    /// Loading of the picture encoder.
    pub tower: LoadOptions,
    /// Loading of the projector.
    pub projector: LoadOptions,
    /// Loading of the language model.
    pub llm: LoadOptions,
    /// Loading of the object head.
    pub head: LoadOptions,
}

impl Sa2vaParts {
    /// Tensors of the folder as the [options](Self::options) expect them: the queries, keys and
    /// values of an InternLM 2 apart, all else as it is there.
    ///
    /// # Errors
    /// When a tensor of an InternLM 2 does not have the shape that its config states.
    pub fn checkpoint(&self, published: &Published) -> Result<Checkpoint> {
        Ok(match self.family {
            LanguageFamily::InternLm2 => intern_lm2_checkpoint(&published.checkpoint, &self.llm)?,
            LanguageFamily::Qwen2 | LanguageFamily::Qwen3 => published.checkpoint.clone(),
        })
    }

    /// Options that load these parts from their [checkpoint](Self::checkpoint).
    pub fn options(&self) -> Sa2vaOptions {
        let of = |prefix: &str| LoadOptions::default().with_prefix(prefix);
        let llm = language_options(self.family);
        Sa2vaOptions {
            tower: of("vision_model."),
            projector: LoadOptions::default()
                .with_renames(import::INTERN_VL_PROJECTOR)
                .with_allow_unused(OTHERS),
            llm: match self.llm.tie_word_embeddings {
                true => llm.with_allow_unused(LM_HEAD),
                false => llm,
            },
            head: of("text_hidden_fcs.").with_renames(HEAD),
        }
    }
}

/// Options that load a language model, whose head is its own.
fn language_options(family: LanguageFamily) -> LoadOptions {
    LoadOptions::default()
        .with_prefix("language_model.")
        .with_renames(family.renames())
        .with_all_unused(LLAMA_UNUSED)
}

/// Reads the `config.json` of a Sa2VA. The code beside it is never run.
///
/// # Errors
/// When there is none, a part is of another kind than InternViT-300M and a [`LanguageFamily`]
/// (Sa2VA-26B and the forms over Qwen-VL have such), the template is unknown, or a field is not
/// supported.
pub fn sa2va_parts(published: &Published) -> Result<Sa2vaParts> {
    let Some(file) = published.config() else {
        let problem = "no config.json beside the weights; give the whole folder of the Sa2VA";
        return Err(Error::folder(&published.path, problem));
    };
    let root = file.root();
    root.expect_type(&[SA2VA], "Sa2VA over InternVL")?;
    refuse_others(published, &root)?;
    let part = |name| {
        let missing = || root.fail(name, "is missing; download the file again");
        file.section(name).ok_or_else(missing)
    };
    let section = part("vision_config")?;
    if let Some(found) = section.json()["architectures"][0].as_str()
        && found != INTERN_VIT
    {
        let problem = format!("is {found}, which is not supported; supported: {INTERN_VIT}");
        return Err(section.fail("architectures", &problem));
    }
    let tower: InternVisionConfig = read(&section)?;
    tower.validate()?;
    let section = part("llm_config")?;
    let family = LanguageFamily::of(&section)?;
    let mut fields = section.json().clone();
    fields["model_type"] = family.model_type().into();
    let mut llm = LlamaConfig::from_json(&fields.to_string())
        .map_err(|error| section.problem(&error.to_string()))?;
    // The config may be older than the tokens that were added.
    let embeddings = Shapes::new(&published.checkpoint, &language_options(family))?;
    [llm.vocab_size, _] = embeddings.get("model.embed_tokens.weight")?;
    let select_layer = match root.json()["select_layer"].as_i64() {
        Some(layer) => i32::try_from(layer)
            .map_err(|_| root.fail("select_layer", "is no layer; Sa2VA's is -1"))?,
        None => -1,
    };
    tower.layers_until(select_layer)?;
    let projector = InternVlProjectorConfig {
        input_size: tower.hidden_size,
        output_size: llm.hidden_size,
        grid_size: tower.grid_size(),
        shuffle: read::<PixelShuffle>(&root)?,
    };
    projector.tokens()?;
    let Some(template) = root.text("template") else {
        return Err(root.fail("template", "is missing; download the file again"));
    };
    let Some(template) = Template::named(&template.replace('-', "_")) else {
        let known = Template::NAMES.join(", ");
        let problem = format!("is {template:?}, which is unknown; known: {known}");
        return Err(root.fail("template", &problem));
    };
    let begins = Tokenizer::begins_texts_in_folder(published.folder())?;
    let options = LoadOptions::default().with_prefix("text_hidden_fcs.");
    let head = Shapes::new(&published.checkpoint, &options)?;
    let [output, input] = head.get("2.weight")?;
    Ok(Sa2vaParts {
        select_layer,
        projector,
        max_tiles: MAX_TILES,
        template,
        begins_sequences: begins.unwrap_or(family.begins_texts()),
        head: ObjectHeadConfig::new(input, output),
        tower,
        llm,
        family,
    })
}

/// Refuses the forms over Qwen-VL, whose pictures and names are others.
fn refuse_others(published: &Published, root: &Section<'_>) -> Result<()> {
    let class = root.json()["architectures"][0].as_str().unwrap_or_default();
    let mut tensors = published.checkpoint.tensors();
    let intern = tensors.any(|tensor| tensor.name.starts_with("vision_model."));
    if intern && !class.contains("Qwen") {
        return Ok(());
    }
    let found = match class {
        "" => "another picture encoder",
        class => class,
    };
    let problem = format!(
        "is {found}, a Sa2VA that is not over InternViT, which is not supported; supported: {SUPPORTED}"
    );
    Err(root.fail("architectures", &problem))
}

/// Fields of a section.
fn read<T: DeserializeOwned>(section: &Section<'_>) -> Result<T> {
    serde_json::from_value(section.json().clone())
        .map_err(|error| section.problem(&format!("{error}; download it again")))
}
