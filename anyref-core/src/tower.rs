//! Picture side of the language model: one square by CLIP, or tiles by InternViT.

use anyref_vision::clip::{ClipVisionConfig, ClipVisionModel};
use anyref_vision::internvit::{
    InternVisionConfig, InternVisionModel, InternVlProjector, InternVlProjectorConfig, PixelShuffle,
};
use anyref_vision::preprocess::TilePreprocessor;
use anyref_vision::projector::{Projector, ProjectorConfig, ProjectorKind};
use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::part_kind;
use crate::{Error, Result};

/// Kind of [`TowerConfig::InternVit`] in a config.
const INTERN_VIT: &str = "intern_vit";

/// InternViT over the tiles of a picture, whose tokens are joined by pixel shuffle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TiledTowerConfig {
    /// InternViT.
    #[serde(flatten)]
    pub encoder: InternVisionConfig,
    /// Joining of neighbouring tokens.
    #[serde(flatten)]
    pub shuffle: PixelShuffle,
    /// Most tiles of a picture; a thumbnail comes on top where there are several.
    pub max_tiles: usize,
}

impl TiledTowerConfig {
    /// Cuts pictures into tiles.
    ///
    /// # Errors
    /// When there are to be no tiles, or more than 256.
    pub fn preprocessor(&self) -> Result<TilePreprocessor> {
        Ok(TilePreprocessor::new(
            self.encoder.image_size,
            self.max_tiles,
        )?)
    }

    /// The projector to a language model of this width.
    pub(crate) fn projector(&self, output_size: usize) -> InternVlProjectorConfig {
        InternVlProjectorConfig {
            input_size: self.encoder.hidden_size,
            output_size,
            grid_size: self.encoder.grid_size(),
            shuffle: self.shuffle,
        }
    }

    /// Tokens along a side of a tile, as the language model reads them.
    ///
    /// # Panics
    /// When [`TowerConfig::validate`] fails.
    fn tokens_a_side(&self) -> usize {
        let grid = self.encoder.grid_size();
        let factor = self.shuffle.factor(grid);
        grid / factor.expect("a shuffle that cuts the grid evenly")
    }

    /// Squares of a picture that the tower reads at most.
    pub(crate) fn most_squares(&self) -> usize {
        match self.max_tiles {
            tiles @ (0 | 1) => tiles,
            tiles => tiles + 1,
        }
    }
}

/// Configuration of a [`Tower`].
#[derive(Debug, Clone, PartialEq)]
pub enum TowerConfig {
    /// CLIP.
    Clip(ClipVisionConfig),
    /// InternViT over tiles.
    InternVit(TiledTowerConfig),
}

impl From<ClipVisionConfig> for TowerConfig {
    fn from(config: ClipVisionConfig) -> Self {
        Self::Clip(config)
    }
}

impl Serialize for TowerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Clip(config) => config.serialize(serializer),
            Self::InternVit(config) => part_kind::write(serializer, INTERN_VIT, config),
        }
    }
}

impl<'de> Deserialize<'de> for TowerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match part_kind::read(deserializer, INTERN_VIT)? {
            (false, fields) => part_kind::fields(fields).map(Self::Clip),
            (true, fields) => part_kind::fields(fields).map(Self::InternVit),
        }
    }
}

impl TowerConfig {
    /// Configuration of CLIP; `None` for another tower.
    pub fn clip(&self) -> Option<&ClipVisionConfig> {
        match self {
            Self::Clip(config) => Some(config),
            Self::InternVit(_) => None,
        }
    }

    /// Configuration of a tower over tiles; `None` for a tower that reads one square.
    pub fn tiled(&self) -> Option<&TiledTowerConfig> {
        match self {
            Self::Clip(_) => None,
            Self::InternVit(config) => Some(config),
        }
    }

    /// Side of the square that it reads, in pixels.
    pub fn image_size(&self) -> usize {
        match self {
            Self::Clip(config) => config.image_size,
            Self::InternVit(config) => config.encoder.image_size,
        }
    }

    /// Width of its features.
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::Clip(config) => config.hidden_size,
            Self::InternVit(config) => config.encoder.hidden_size,
        }
    }

    /// Tokens along a side of the square, as the language model reads them.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn grid_size(&self) -> usize {
        match self {
            Self::Clip(config) => config.grid_size(),
            Self::InternVit(config) => config.tokens_a_side(),
        }
    }

    /// Tokens of one square, as the language model reads them.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn square_tokens(&self) -> usize {
        self.grid_size().pow(2)
    }

    /// Positions of a picture in the tower at most, those of class tokens included.
    ///
    /// # Panics
    /// When the patch size is 0.
    pub fn most_positions(&self) -> usize {
        let grid = match self {
            Self::Clip(config) => config.grid_size(),
            Self::InternVit(config) => config.encoder.grid_size(),
        };
        self.most_squares() * (grid * grid + 1)
    }

    /// Squares of a picture at most.
    pub fn most_squares(&self) -> usize {
        self.tiled().map_or(1, TiledTowerConfig::most_squares)
    }

    /// Checks that the tower can be built.
    ///
    /// # Errors
    /// When a size is impossible, naming its field.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Clip(config) => config.validate()?,
            Self::InternVit(config) => {
                config.encoder.validate()?;
                config.shuffle.factor(config.encoder.grid_size())?;
                config.preprocessor()?;
            }
        }
        Ok(())
    }

    /// Number of layers that run to give a hidden state.
    ///
    /// # Errors
    /// When there is no such state.
    pub fn layers_until(&self, select_layer: i32) -> Result<usize> {
        Ok(match self {
            Self::Clip(config) => config.layers_until(select_layer)?,
            Self::InternVit(config) => config.encoder.layers_until(select_layer)?,
        })
    }

    /// Whether a projector fits behind it.
    pub(crate) fn check_projector(&self, kind: ProjectorKind) -> Result<()> {
        match (self, kind) {
            (Self::InternVit(_), ProjectorKind::Linear) => Err(Error::Config {
                field: "mm_projector",
                problem: "is linear: InternViT's is mlp2x_gelu".into(),
            }),
            _ => Ok(()),
        }
    }

    /// Creates the tower, its parameters not yet materialised.
    ///
    /// # Panics
    /// When [`validate`](Self::validate) fails.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Tower<B> {
        match self {
            Self::Clip(config) => Tower::Clip(config.init(device)),
            Self::InternVit(config) => Tower::InternVit(config.encoder.init(device)),
        }
    }

    /// Creates the projector to a language model of width `output_size`.
    ///
    /// # Panics
    /// As [`validate`](Self::validate) refuses, and when `output_size` is 0.
    pub(crate) fn init_projector<B: Backend>(
        &self,
        kind: ProjectorKind,
        output_size: usize,
        device: &B::Device,
    ) -> TowerProjector<B> {
        match self {
            Self::Clip(config) => TowerProjector::Layers(
                ProjectorConfig::new(config.hidden_size, output_size)
                    .with_kind(kind)
                    .init(device),
            ),
            Self::InternVit(config) => {
                let projector = config.projector(output_size).init(device);
                TowerProjector::PixelShuffle(projector.expect("a projector that can be"))
            }
        }
    }
}

/// Picture encoder of the language model.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "both forms are of one order of size"
)]
pub enum Tower<B: Backend> {
    /// CLIP.
    Clip(ClipVisionModel<B>),
    /// InternViT, of tiles.
    InternVit(InternVisionModel<B>),
}

impl<B: Backend> Tower<B> {
    /// Patch features of squares by a hidden state.
    ///
    /// # Shapes
    /// - pixel_values: `[squares, 3, size, size]`
    /// - output: `[squares, patches, channels]`
    ///
    /// # Panics
    /// When a square is not of the tower's size, or there is no such state.
    pub fn features(&self, pixel_values: Tensor<B, 4>, select_layer: i32) -> Tensor<B, 3> {
        match self {
            Self::Clip(tower) => tower.features(pixel_values, select_layer),
            Self::InternVit(tower) => tower.features(pixel_values, select_layer),
        }
    }

    /// CLIP tower.
    ///
    /// # Panics
    /// When the tower is another one: see [`TowerConfig::clip`].
    pub fn clip(&self) -> &ClipVisionModel<B> {
        match self {
            Self::Clip(tower) => tower,
            Self::InternVit(_) => panic!("the model's tower is CLIP"),
        }
    }
}

/// Projection of the tower's features to the width of the language model.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them in a whole model")]
pub enum TowerProjector<B: Backend> {
    /// Projection of LLaVA, token by token.
    Layers(Projector<B>),
    /// Projection of InternVL, which joins neighbouring tokens by pixel shuffle.
    PixelShuffle(InternVlProjector<B>),
}

impl<B: Backend> TowerProjector<B> {
    /// Projector of a CLIP tower, which takes any number of dimensions.
    ///
    /// # Panics
    /// When the tower is another one: see [`TowerConfig::clip`].
    pub fn layers(&self) -> &Projector<B> {
        match self {
            Self::Layers(projector) => projector,
            Self::PixelShuffle(_) => panic!("the model's tower is CLIP"),
        }
    }

    /// Projects features to the width of the language model.
    ///
    /// # Shapes
    /// - features: `[squares, patches, channels]`
    /// - output: `[squares, tokens, hidden]`
    ///
    /// # Panics
    /// When the patches are not a square grid that the pixel shuffle divides.
    pub fn forward(&self, features: Tensor<B, 3>) -> Tensor<B, 3> {
        match self {
            Self::Layers(projector) => projector.forward(features),
            Self::PixelShuffle(projector) => projector.forward(features),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clip_is_written_without_a_kind_and_tiles_with_one() {
        let clip = TowerConfig::Clip(ClipVisionConfig::vit_large_patch14());
        let plain = serde_json::to_string(&ClipVisionConfig::vit_large_patch14()).unwrap();
        assert_eq!(serde_json::to_string(&clip).unwrap(), plain);
        assert_eq!(serde_json::from_str::<TowerConfig>(&plain).unwrap(), clip);
        let tiles = TowerConfig::InternVit(TiledTowerConfig {
            encoder: InternVisionConfig::tiny(),
            shuffle: PixelShuffle::default(),
            max_tiles: 6,
        });
        let json = serde_json::to_string(&tiles).unwrap();
        assert!(json.contains("\"kind\":\"intern_vit\""), "{json}");
        assert_eq!(serde_json::from_str::<TowerConfig>(&json).unwrap(), tiles);
        assert_eq!((tiles.square_tokens(), tiles.most_squares()), (4, 7));
        let other = json.replace("intern_vit", "dino");
        let refused = serde_json::from_str::<TowerConfig>(&other).unwrap_err();
        assert!(refused.to_string().contains("\"dino\""), "{refused}");
    }

    #[test]
    fn absurd_tiles_are_refused() {
        for (tiles, ratio) in [(0, 0.5), (257, 0.5), (usize::MAX, 0.5), (6, 0.3), (6, 0.0)] {
            let config = TowerConfig::InternVit(TiledTowerConfig {
                encoder: InternVisionConfig::tiny(),
                shuffle: PixelShuffle {
                    downsample_ratio: ratio,
                    ..PixelShuffle::default()
                },
                max_tiles: tiles,
            });
            assert!(config.validate().is_err(), "{tiles} {ratio}");
        }
    }
}
