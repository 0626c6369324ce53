//! Configuration of the region encoder.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::check;

/// Name of the encoder in errors.
const REGIONS: &str = "region encoder";
/// Most levels, of which each is twice as fine as the next.
const MOST_LEVELS: usize = 6;

/// Configuration of a [`RegionEncoder`](super::RegionEncoder).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegionEncoderConfig {
    /// Width of the tower's hidden states, and channels of all maps.
    pub embed_dim: usize,
    /// Levels: hidden states of the tower, the last of which is as fine as the tower's grid and
    /// each before it twice as fine as the next.
    pub num_levels: usize,
    /// Layers of the tower from one level to the next.
    pub level_step: usize,
    /// Rounds in which levels trade channels with their neighbours.
    pub num_fuse: usize,
    /// Groups of channels that are normalised together.
    pub num_groups: usize,
    /// Rows and columns that a box is pooled to.
    pub roi_size: usize,
    /// Samples along each side of a row or column.
    pub sampling_ratio: usize,
    /// Side in pixels of the square that boxes are scaled to.
    pub box_size: usize,
    /// Side of a cell of the coarsest level in these pixels.
    pub cell_size: usize,
    /// Hidden width of the box embedding.
    pub position_dim: usize,
    /// Width of a region ahead of the last layer.
    pub region_dim: usize,
    /// Width of the language model.
    pub output_size: usize,
}

impl Default for RegionEncoderConfig {
    /// GLaMM's (`model/layers.py`), with a language model of 7 billion parameters. Boxes are scaled
    /// to the 224 pixels of an earlier tower, although the published one sees 336: the weights were
    /// trained so.
    fn default() -> Self {
        Self {
            embed_dim: 1024,
            num_levels: 4,
            level_step: 3,
            num_fuse: 5,
            num_groups: 64,
            roi_size: 14,
            sampling_ratio: 2,
            box_size: 224,
            cell_size: 14,
            position_dim: 256,
            region_dim: 1024,
            output_size: 4096,
        }
    }
}

impl RegionEncoderConfig {
    /// Refuses an encoder that cannot be.
    ///
    /// # Errors
    /// When a size is 0, the groups do not divide the channels, there are fewer than 4 channels to
    /// trade, or more levels than are of use.
    pub fn validate(&self) -> Result<()> {
        for (field, size) in [
            ("embed_dim", self.embed_dim),
            ("num_levels", self.num_levels),
            ("level_step", self.level_step),
            ("num_groups", self.num_groups),
            ("roi_size", self.roi_size),
            ("sampling_ratio", self.sampling_ratio),
            ("box_size", self.box_size),
            ("cell_size", self.cell_size),
            ("position_dim", self.position_dim),
            ("region_dim", self.region_dim),
            ("output_size", self.output_size),
        ] {
            check(REGIONS, field, size > 0, || {
                "is 0: make it 1 or more".to_owned()
            })?;
        }
        let (channels, groups) = (self.embed_dim, self.num_groups);
        check(REGIONS, "embed_dim", channels >= 4, || {
            format!("is {channels}: make it 4 or more, of which levels trade two quarters")
        })?;
        check(
            REGIONS,
            "num_groups",
            channels.is_multiple_of(groups),
            || format!("is {groups}, which does not divide {channels} (embed_dim)"),
        )?;
        check(
            REGIONS,
            "num_levels",
            self.num_levels <= MOST_LEVELS,
            || format!("is {}: make it {MOST_LEVELS} at most", self.num_levels),
        )
    }

    /// Hidden states of the tower that are the levels, of which the last is that of index `last`;
    /// the finest level first. Index 0 is the input of the tower's first layer.
    ///
    /// # Errors
    /// When the tower has too few layers before `last`.
    pub fn level_states(&self, last: usize) -> Result<Vec<usize>> {
        let before = (self.num_levels.max(1) - 1).saturating_mul(self.level_step);
        check(REGIONS, "num_levels", before <= last, || {
            format!(
                "is {}, {} layers apart: they need {before} layers of CLIP before the last, which \
                 has {last}",
                self.num_levels, self.level_step
            )
        })?;
        let levels = (0..self.num_levels).rev();
        Ok(levels.map(|level| last - level * self.level_step).collect())
    }

    /// Times that a level is finer than the coarsest.
    pub fn fineness(&self, level: usize) -> usize {
        1 << (self.num_levels - 1 - level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_every_third_state_up_to_the_one_that_is_read() {
        let config = RegionEncoderConfig::default();
        config.validate().unwrap();
        // `hidden_states[-2::-3]` of 25, reversed, the last four.
        assert_eq!(config.level_states(23).unwrap(), [14, 17, 20, 23]);
        assert_eq!(config.level_states(9).unwrap(), [0, 3, 6, 9]);
        let error = config.level_states(8).unwrap_err().to_string();
        assert!(error.contains("num_levels"), "{error}");
        let finer: Vec<usize> = (0..4).map(|level| config.fineness(level)).collect();
        assert_eq!(finer, [8, 4, 2, 1]);
    }

    #[test]
    fn impossible_sizes_are_named() {
        let refused = |change: fn(&mut RegionEncoderConfig), field: &str| {
            let mut config = RegionEncoderConfig::default();
            change(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        };
        refused(|config| config.roi_size = 0, "`roi_size` is 0");
        refused(|config| config.num_groups = 100, "`num_groups` is 100");
        refused(|config| config.num_levels = 40, "`num_levels` is 40");
        refused(
            |config| (config.embed_dim, config.num_groups) = (2, 1),
            "`embed_dim` is 2",
        );
    }
}
