//! LLaMA, alone or inside LLaVA.

use anyref_llm::LlamaConfig;
use anyref_llm::import;
use anyref_weights::LoadOptions;

use super::config_file::Section;
use super::kind::Kind;
use super::llava::{MASKS, PROJECTOR, TOWER};
use super::published::Published;
use crate::{Error, Result};

/// Config of the language model, and of the pictures that it was trained with.
#[derive(Debug, Clone)]
pub struct Language {
    /// Language model alone.
    pub llm: LlamaConfig,
    /// Index of CLIP's hidden state that the model reads.
    pub select_layer: Option<i32>,
    /// Name of the tower that the folder does not contain.
    pub tower: Option<String>,
}

/// Options of loading the language model; a head that is tied to the embeddings may be present and
/// unused.
pub fn llama_options(tied: bool) -> LoadOptions {
    let options = LoadOptions::default()
        .with_renames(import::LLAMA)
        .with_all_unused(&[TOWER, PROJECTOR, MASKS])
        .with_all_unused(import::LLAMA_UNUSED);
    match tied {
        true => options.with_allow_unused(import::LM_HEAD),
        false => options,
    }
}

/// Reads the config of a language model.
///
/// # Errors
/// When there is no `config.json`, or it is of another architecture or uses unsupported features.
pub fn language(published: &Published) -> Result<Language> {
    let Some(file) = published.config() else {
        return Err(Error::folder(
            &published.path,
            "no config.json beside the language model; give its whole folder",
        ));
    };
    let root = file.root();
    let section = match published.kind {
        Some(Kind::LlavaHuggingFace) => {
            root.expect_type(&["llava"], "LLaVA")?;
            let Some(section) = file.section("text_config") else {
                return Err(root.fail("text_config", "is missing; download the file again"));
            };
            section
        }
        Some(Kind::LlavaAuthors | Kind::Lisa | Kind::Glamm) => {
            root.expect_type(&["llava", "llava_llama", "llama"], "LLaVA")?;
            return read(&root, &root);
        }
        _ => root,
    };
    section.expect_type(&["llama"], "LLaMA")?;
    read(&root, &section)
}

fn read(root: &Section<'_>, section: &Section<'_>) -> Result<Language> {
    let llm = LlamaConfig::from_json(&section.json().to_string())
        .map_err(|error| section.problem(&error.to_string()))?;
    let mut select_layer = None;
    for field in ["vision_feature_layer", "mm_vision_select_layer"] {
        match root.json().get(field) {
            None | Some(serde_json::Value::Null) => {}
            Some(value) => match value.as_i64().and_then(|layer| i32::try_from(layer).ok()) {
                Some(layer) => select_layer = Some(layer),
                None => {
                    return Err(root.fail(field, "is not one layer, which is what AnyRef takes"));
                }
            },
        }
    }
    for (field, supported) in [
        ("vision_feature_select_strategy", "default"),
        ("mm_vision_select_feature", "patch"),
    ] {
        if let Some(found) = root.text(field).filter(|found| *found != supported) {
            let problem = format!("is {found:?}; supported: {supported}");
            return Err(root.fail(field, &problem));
        }
    }
    Ok(Language {
        llm,
        select_layer,
        // LISA's and GLaMM's own code reads the second.
        tower: ["mm_vision_tower", "vision_tower"]
            .into_iter()
            .find_map(|field| root.text(field))
            .map(str::to_owned),
    })
}
