//! Region encoder of GLaMM, and the check that a folder is the GLaMM that is supported.

use anyref_vision::import::REGION_ENCODER;
use anyref_vision::region_encoder::RegionEncoderConfig;
use anyref_weights::LoadOptions;

use super::object_head::object_head_config;
use super::published::Published;
use super::shapes::Shapes;
use crate::Result;

/// Class of the only relatives of GLaMM that are read.
const GLAMM: &str = "GLaMMForCausalLM";

/// Options of loading the region encoder of a GLaMM.
pub fn region_encoder_options() -> LoadOptions {
    LoadOptions::default()
        .with_prefix("model.region_encoder.")
        .with_renames(REGION_ENCODER)
}

/// Sizes of a GLaMM's region encoder as the weights show them; what they do not show is the
/// authors'.
///
/// # Errors
/// When the folder is another model built on GLaMM, has no region encoder, or `config.json`
/// contradicts the weights.
pub fn region_encoder_config(published: &Published) -> Result<RegionEncoderConfig> {
    let shapes = Shapes::new(&published.checkpoint, &region_encoder_options())?;
    refuse_others(published, &shapes)?;
    let authors = RegionEncoderConfig::default();
    let [embed_dim, input, _, _] = shapes.get("mlvl_fuse.input_conv.0.weight")?;
    let [region_dim, pooled] = shapes.get("roi_align.flatten_linear.weight")?;
    let [position_dim, _] = shapes.get("roi_align.pos_embedd.linear_1.weight")?;
    let [output_size, _] = shapes.get("roi_align.updims.weight")?;
    let roi_size = (pooled / embed_dim).isqrt();
    if input != embed_dim + 2 || roi_size.pow(2) * embed_dim != pooled {
        let problem = format!(
            "a region encoder of {embed_dim} channels from {input}, pooled to {pooled}, is not \
             GLaMM's; download it again"
        );
        return Err(shapes.fail(&problem));
    }
    let config = RegionEncoderConfig {
        embed_dim,
        num_levels: shapes.count("mlvl_fuse.input_conv.")?,
        num_fuse: shapes.count("mlvl_fuse.fuse_convs.")?,
        num_groups: authors.num_groups.min(embed_dim),
        roi_size,
        position_dim,
        region_dim,
        output_size,
        ..authors
    };
    config.validate()?;
    if let Some(root) = published.config().map(|file| file.root()) {
        for field in ["num_level_reg_features", "num_reg_features"] {
            root.agree(field, config.num_levels)?;
        }
        root.agree("out_dim", object_head_config(published)?.output_dim)?;
    }
    Ok(config)
}

/// Refuses models of other code that share GLaMM's names.
fn refuse_others(published: &Published, shapes: &Shapes) -> Result<()> {
    if let Some(root) = published.config().map(|file| file.root()) {
        let class = root.json()["architectures"][0].as_str();
        if let Some(other) = class.filter(|class| *class != GLAMM) {
            let problem = format!(
                "is {other}, which is not supported; supported: {GLAMM} (GLaMM-FullScope, -RefSeg, \
                 -GCG, -RegCap)"
            );
            return Err(root.fail("architectures", &problem));
        }
    }
    if shapes.has("mlvl_fuse.input_conv.0.weight") {
        return Ok(());
    }
    Err(shapes.fail(
        "a GLaMM without its region encoder (`model.region_encoder`), which is not supported; \
         give one of MBZUAI's, such as hf://MBZUAI/GLaMM-FullScope",
    ))
}
