//! Benchmarks as arguments: their names, and a line of help for each.

use anyref_eval::Benchmark;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Parser of the benchmarks that a model is asked about.
pub fn asked() -> impl TypedValueParser<Value = Benchmark> {
    parser(&Benchmark::ASKED, |benchmark| match benchmark {
        Benchmark::Stamps => "Scenes composed of Tux Paint stamps",
        Benchmark::Refclef => "RefCLEF",
        Benchmark::Refcoco => "RefCOCO",
        Benchmark::RefcocoPlus => "RefCOCO+",
        Benchmark::Refcocog => "RefCOCOg",
        Benchmark::Grefcoco => "gRefCOCO, with several targets or none",
        Benchmark::Reasonseg => "ReasonSeg",
        Benchmark::Captions => "Expressions for regions",
        Benchmark::Coco20i => "COCO-20i, one fold: objects by a picture of another",
        Benchmark::Pascal5i => {
            "PASCAL-5i, one fold, in HSNet's thousand episodes: objects by a picture of another"
        }
        Benchmark::AvsS4 => "AVSBench S4, with one sound source a video",
        Benchmark::AvsMs3 => "AVSBench MS3, with several sound sources",
        Benchmark::VisualGenome => "Visual Genome's regions, to be described",
        Benchmark::Own => "JSON Lines file of your own, described in docs/your-data.md",
    })
}

/// Parser of the benchmarks that score files of predictions.
pub fn scored() -> impl TypedValueParser<Value = Benchmark> {
    parser(&Benchmark::SCORED, |benchmark| match benchmark {
        Benchmark::Grefcoco => "gRefCOCO: cIoU, gIoU, N-acc, T-acc, precision",
        Benchmark::Reasonseg => "ReasonSeg: gIoU, cIoU",
        Benchmark::Captions => {
            "Expressions for regions: BLEU, ROUGE-L, CIDEr, the exact stage of METEOR; with Java, full METEOR and SPICE"
        }
        Benchmark::Coco20i => "COCO-20i: mIoU of each fold, FB-IoU",
        Benchmark::Pascal5i => "PASCAL-5i: mIoU of each fold, FB-IoU",
        Benchmark::AvsS4 => "AVSBench S4, with one sound source a video: mIoU, F-score",
        Benchmark::AvsMs3 => "AVSBench MS3, with several sound sources: mIoU, F-score",
        _ => "RefCOCO, RefCOCO+, RefCOCOg, RefCLEF: cIoU, gIoU, mIoU, precision",
    })
}

fn parser(
    benchmarks: &[Benchmark],
    help: impl Fn(Benchmark) -> &'static str,
) -> impl TypedValueParser<Value = Benchmark> {
    let value = |&one: &Benchmark| PossibleValue::new(one.name()).help(help(one));
    let values: Vec<PossibleValue> = benchmarks.iter().map(value).collect();
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Benchmark>())
}
