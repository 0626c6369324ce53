//! Benchmarks by their names on the command line, and the rules that score each.

use core::fmt;
use core::str::FromStr;

/// Benchmark: scenes or a data set to ask about, and the rules that score the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Benchmark {
    /// Scenes composed of stamps.
    Stamps,
    /// RefCLEF.
    Refclef,
    /// RefCOCO.
    Refcoco,
    /// RefCOCO+.
    RefcocoPlus,
    /// RefCOCOg.
    Refcocog,
    /// gRefCOCO.
    Grefcoco,
    /// ReasonSeg.
    Reasonseg,
    /// Expressions for regions.
    Captions,
    /// COCO-20i.
    Coco20i,
    /// PASCAL-5i.
    Pascal5i,
    /// AVSBench with one sound source a video.
    AvsS4,
    /// AVSBench with several sound sources.
    AvsMs3,
    /// Regions of Visual Genome.
    VisualGenome,
    /// JSON Lines file of one's own.
    Own,
}

/// Rules that score answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    Referring,
    Generalized,
    Reasoning,
    Captions,
    FewShot,
    AudioVisual,
}

impl Benchmark {
    /// Benchmarks that a model can be asked about.
    pub const ASKED: [Self; 13] = [
        Self::Stamps,
        Self::Refclef,
        Self::Refcoco,
        Self::RefcocoPlus,
        Self::Refcocog,
        Self::Grefcoco,
        Self::Reasonseg,
        Self::Coco20i,
        Self::Pascal5i,
        Self::AvsS4,
        Self::AvsMs3,
        Self::VisualGenome,
        Self::Own,
    ];

    /// Benchmarks that score files of predictions, one for each set of rules and classes.
    pub const SCORED: [Self; 8] = [
        Self::Refcoco,
        Self::Grefcoco,
        Self::Reasonseg,
        Self::Captions,
        Self::Coco20i,
        Self::Pascal5i,
        Self::AvsS4,
        Self::AvsMs3,
    ];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stamps => "stamps",
            Self::Refclef => "refclef",
            Self::Refcoco => "refcoco",
            Self::RefcocoPlus => "refcoco+",
            Self::Refcocog => "refcocog",
            Self::Grefcoco => "grefcoco",
            Self::Reasonseg => "reasonseg",
            Self::Captions => "captions",
            Self::Coco20i => "coco-20i",
            Self::Pascal5i => "pascal-5i",
            Self::AvsS4 => "avs-s4",
            Self::AvsMs3 => "avs-ms3",
            Self::VisualGenome => "visual-genome",
            Self::Own => "own",
        }
    }

    /// Benchmark whose rules score the answers, one of [`SCORED`](Self::SCORED);
    /// [`Captions`](Self::Captions) for descriptions.
    pub fn scored_as(self, described: bool) -> Self {
        match self {
            _ if described => Self::Captions,
            Self::Captions | Self::VisualGenome => Self::Captions,
            Self::Grefcoco
            | Self::Reasonseg
            | Self::Coco20i
            | Self::Pascal5i
            | Self::AvsS4
            | Self::AvsMs3 => self,
            Self::Stamps
            | Self::Refclef
            | Self::Refcoco
            | Self::RefcocoPlus
            | Self::Refcocog
            | Self::Own => Self::Refcoco,
        }
    }

    /// Returns whether classes are given by example, in folds.
    pub fn is_few_shot(self) -> bool {
        self.rules() == Rules::FewShot
    }

    /// Name in messages and tables of scores.
    pub(crate) fn title(self) -> &'static str {
        match self.scored_as(false) {
            Self::Grefcoco => "gRefCOCO",
            Self::Reasonseg => "ReasonSeg",
            Self::Captions => "region expressions",
            Self::Coco20i => "COCO-20i",
            Self::Pascal5i => "PASCAL-5i",
            Self::AvsS4 => "AVSBench S4",
            Self::AvsMs3 => "AVSBench MS3",
            _ => "RefCOCO",
        }
    }

    /// Rules that score the answers.
    pub(crate) fn rules(self) -> Rules {
        match self.scored_as(false) {
            Self::Grefcoco => Rules::Generalized,
            Self::Reasonseg => Rules::Reasoning,
            Self::Captions => Rules::Captions,
            Self::Coco20i | Self::Pascal5i => Rules::FewShot,
            Self::AvsS4 | Self::AvsMs3 => Rules::AudioVisual,
            _ => Rules::Referring,
        }
    }

    /// Number of classes of a fold.
    pub(crate) fn classes(self) -> usize {
        match self {
            Self::Coco20i => 20,
            _ => 5,
        }
    }

    /// Returns whether targets may have pixels to ignore.
    pub(crate) fn ignores(self) -> bool {
        matches!(self.rules(), Rules::Reasoning | Rules::FewShot)
    }
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Benchmark {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ASKED.into_iter().chain([Self::Captions]);
        let mut known = known.filter(|one| one.name() == name);
        known.next().ok_or_else(|| format!("no benchmark {name:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rules_go_together() {
        for benchmark in Benchmark::ASKED.into_iter().chain(Benchmark::SCORED) {
            assert_eq!(benchmark.name().parse(), Ok(benchmark));
            for described in [false, true] {
                let scored = benchmark.scored_as(described);
                assert!(Benchmark::SCORED.contains(&scored), "{benchmark}");
            }
        }
        for benchmark in Benchmark::SCORED {
            assert_eq!(benchmark.scored_as(false), benchmark);
        }
        assert!("refcoco ".parse::<Benchmark>().is_err());
    }
}
