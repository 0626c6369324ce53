//! The command line.

pub mod benchmark;
#[cfg(feature = "train")]
pub mod train;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyref_core::BackendName;
use anyref_eval::Benchmark;
use anyref_weights::WeightType;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

/// Point at things in pictures by text, box, picture or sound; get a sentence and masks.
#[derive(Debug, Parser)]
#[command(name = "anyref", version, about)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// Model folder (config.json, tokenizer.json, model.safetensors), a .json file that names published parts, or
    /// hf://org/name [default: the built-in nano]
    #[arg(long, global = true, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// What computes: flex (the processor), wgpu, vulkan, metal, webgpu or cuda, as far as compiled in
    #[arg(long, global = true, default_value_t)]
    pub backend: BackendName,
    /// Number of the device, see `anyref info --devices` [default: the backend's own choice]
    #[arg(long, global = true, value_name = "N")]
    pub device: Option<usize>,
    /// What weights are kept as, in memory and by `assemble` in its files: f32, f16, bf16, or auto: their own type on the processor and in files, f32 on GPUs
    #[arg(long, global = true, default_value_t, value_name = "TYPE")]
    pub dtype: WeightType,
    /// Seed of sampled answers, of the drawings of `score` and `eval`, with the examples of coco-20i and pascal-5i, and of the
    /// untrained weights of `assemble`
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// Above 0, answers are sampled; 0 takes the likeliest word always
    #[arg(
        long,
        global = true,
        default_value_t = 0.0,
        value_name = "T",
        allow_negative_numbers = true
    )]
    pub temperature: f64,
    /// Longest answer in tokens [default: the model's]
    #[arg(long, global = true, value_name = "N")]
    pub max_new_tokens: Option<usize>,
    /// Leave masks out whose IoU the model estimates lower, 0 to 1; 0 shows all [default: the model's]
    #[arg(long, global = true, value_name = "IOU", allow_negative_numbers = true)]
    pub min_score: Option<f32>,
    /// Try so many of the likeliest answers and give the one that points best; 1 gives the likeliest [default: the
    /// model's]
    #[arg(long, global = true, value_name = "N")]
    pub candidates: Option<usize>,
    /// Say where the time goes, on stderr
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the model does, on bundled pictures: text, box, picture, sound, mixture
    Demo(DemoArguments),
    /// Masks of what the references mean
    Segment(SegmentArguments),
    /// Words for what is in a box
    Describe(DescribeArguments),
    /// Several turns about one picture; references come in by /box, /image and /audio
    Chat(ChatArguments),
    /// Accuracy on a benchmark; run it again to go on
    Eval(EvalArguments),
    /// Score predictions of any system, with intervals, and compare two systems
    Score(ScoreArguments),
    /// One model folder out of published CLIP, SAM, ImageBind and LLaMA or LLaVA weights
    Assemble(AssembleArguments),
    /// The model's parts, types and memory; or the tensors of any checkpoint; or the backends
    Info(InfoArguments),
    #[cfg(feature = "train")]
    #[command(flatten)]
    Training(train::TrainCommand),
}

#[derive(Debug, Args)]
pub struct EvalArguments {
    /// The benchmark
    #[arg(value_parser = benchmark::asked())]
    pub benchmark: Benchmark,
    /// Folder of the published data set, laid out as it is published (RefCOCO and its kin as the REFER API has them); of
    /// your own data the file
    #[arg(long, value_name = "PATH")]
    pub root: Option<PathBuf>,
    /// Part of the published data set [default: val; of COCO-20i val2014]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Fold of COCO-20i and PASCAL-5i, 0 to 3 [default: 0]
    #[arg(long, value_name = "N")]
    pub fold: Option<usize>,
    /// Who split it: unc, umd, google, berkeley [default: unc; of RefCOCOg umd]
    #[arg(long, value_name = "NAME")]
    pub split_by: Option<String>,
    /// Describe boxes instead of segmenting what is described
    #[arg(long)]
    pub describe: bool,
    /// Of a published data set ask about so many items at most, the first whose files are all there [default: all, and all files have to be there]
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Questions answered at a time: more are faster and take more memory; answers stay the same. Where a model tries
    /// several candidates, questions are asked one by one
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch: usize,
    /// Of stamps only these kinds: text, box, image, novel, audio, mixed, absent [default: all]
    #[arg(long, value_name = "KIND")]
    pub kind: Vec<String>,
    /// Of stamps, make pictures or sounds worse: blur, noise, jpeg, dark, bright, small, sound-20, sound-10, sound-0, or
    /// all; several give a table beside the undisturbed
    #[arg(long, value_name = "NAME")]
    pub disturb: Vec<String>,
    /// Of stamps, the seed of the scenes: another one gives scenes that nothing was ever chosen by [default: the
    /// configuration's]
    #[arg(long, value_name = "N")]
    pub scene_seed: Option<u64>,
    /// Of stamps so many questions a kind [default: 500]
    #[arg(long, value_name = "N")]
    pub n: Option<usize>,
    #[command(flatten)]
    pub programs: CaptionPrograms,
    /// Folder for predictions, table and pictures of the worst cases; given again, an evaluation goes on there [default:
    /// anyref-eval/BENCHMARK]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Of stamps, unpacked tuxpaint-stamps-default, as `cargo xtask data stamps` leaves it [default: data/stamps]
    #[arg(long, value_name = "DIR")]
    pub stamps: Option<PathBuf>,
    /// Of stamps, unpacked tuxpaint-data [default: data/backgrounds, if it is there]
    #[arg(long, value_name = "DIR")]
    pub backgrounds: Option<PathBuf>,
    /// Of stamps, the training configuration (a file or hf://org/name/file) whose scenes and questions are used [default: the built-in model's]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl EvalArguments {
    /// The folder of [`out`](Self::out).
    pub fn folder(&self) -> PathBuf {
        let usual = || Path::new("anyref-eval").join(self.benchmark.to_string());
        self.out.clone().unwrap_or_else(usual)
    }
}

#[derive(Debug, Args)]
pub struct ScoreArguments {
    /// The benchmark
    #[arg(value_parser = benchmark::scored())]
    pub benchmark: Benchmark,
    /// Answers, one JSON object a line: {"id", "text", "masks": [{"size", "counts", "score"}]}
    #[arg(long, value_name = "FILE")]
    pub predictions: PathBuf,
    /// The truth, one JSON object a line: {"id", "size", "masks", "expressions", "category", "fold", "video", "ignore"}
    #[arg(long, value_name = "FILE")]
    pub targets: PathBuf,
    /// Answers of another system: how much better or worse they are
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Drawings for the 95 % intervals and p
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub resamples: usize,
    /// Videos that avs-s4 and avs-ms3 take at a time, which changes their F-score
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub videos: usize,
    #[command(flatten)]
    pub programs: CaptionPrograms,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Java programs that score descriptions.
#[derive(Debug, Args)]
pub struct CaptionPrograms {
    /// Of descriptions, METEOR with all its stages: the meteor-1.5.jar of PyPI's pycocoevalcap; needs Java
    #[arg(long, value_name = "FILE")]
    pub meteor_jar: Option<PathBuf>,
    /// Of descriptions, SPICE: the spice-1.0.jar of pycocoevalcap, with its parser's models; needs Java
    #[arg(long, value_name = "FILE")]
    pub spice_jar: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Folder for overlays, overview.png and answers.json
    #[arg(long, default_value = "anyref-demo", value_name = "DIR")]
    pub out: PathBuf,
}

/// Where results go.
#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Write the mask as a PNG, 8-bit, 0 or 255, in the picture's size; several get _1, _2
    #[arg(long, value_name = "OUT.png")]
    pub mask: Option<PathBuf>,
    /// Write the picture with masks and words drawn over it
    #[arg(long, value_name = "OUT.png")]
    pub overlay: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SegmentArguments {
    /// The picture
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    #[command(flatten)]
    pub references: References,
    /// A question of your own, with {1}, {2} … where the references go, in the order given
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Folder for what each `<obj>` looked at (patches, words, references) and its mask without and with refocusing
    #[arg(long, value_name = "DIR")]
    pub explain: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// The picture
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// The box to describe, in pixels
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1", allow_hyphen_values = true)]
    pub region: String,
    #[command(flatten)]
    pub output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct ChatArguments {
    /// The picture
    #[arg(long, value_name = "FILE")]
    pub image: PathBuf,
    /// Write each answer's masks over the picture, as OUT_1.png, OUT_2.png …
    #[arg(long, value_name = "OUT.png")]
    pub overlay: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct AssembleArguments {
    /// CLIP's folder; not needed when --llm is a LLaVA that carries its own
    #[arg(long, value_name = "PATH")]
    pub clip: Option<PathBuf>,
    /// SAM, the authors' .pth or a transformers folder
    #[arg(long, value_name = "PATH")]
    pub sam: PathBuf,
    /// imagebind_huge.pth
    #[arg(long, value_name = "PATH", conflicts_with = "no_audio")]
    pub imagebind: Option<PathBuf>,
    /// Leave sounds out
    #[arg(long)]
    pub no_audio: bool,
    /// Folder of a LLaMA or LLaVA, with config.json and tokenizer.json or tokenizer.model
    #[arg(long, value_name = "DIR")]
    pub llm: PathBuf,
    /// PEFT adapter folder, folded into the weights
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// The new model folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Largest file of weights, in megabytes
    #[arg(long, default_value_t = 4000, value_name = "N")]
    pub shard_mb: u64,
}

#[derive(Debug, Args)]
pub struct InfoArguments {
    /// List the tensors of this file or folder instead, and what does not match
    #[arg(value_name = "FILE|DIR")]
    pub path: Option<PathBuf>,
    /// Hold the tensors against a preset (nano, anyref-7b) or a model's config.json [default: what comes with
    /// them]
    #[arg(long, value_name = "PRESET|FILE", requires = "path")]
    pub against: Option<String>,
    /// List the backends of this build and their devices instead
    #[arg(long, conflicts_with = "path")]
    pub devices: bool,
}

/// A reference as written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceArgument {
    /// A phrase.
    Text(String),
    /// A box in the picture.
    Box(String),
    /// A picture, restricted to a box or a mask of it.
    Image {
        path: PathBuf,
        region: Option<String>,
        mask: Option<PathBuf>,
    },
    /// A sound.
    Audio(PathBuf),
}

impl ReferenceArgument {
    /// The files that it is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let files = match self {
            Self::Text(_) | Self::Box(_) => [None, None],
            Self::Image { path, mask, .. } => [Some(path), mask.as_ref()],
            Self::Audio(path) => [Some(path), None],
        };
        files.into_iter().flatten().map(PathBuf::as_path)
    }
}

/// References of all kinds in the order given.
#[derive(Debug, Clone, Default)]
pub struct References(pub Vec<ReferenceArgument>);

const TEXT: &str = "text";
const BOX: &str = "box";
const REF_IMAGE: &str = "ref-image";
const REF_BOX: &str = "ref-box";
const REF_MASK: &str = "ref-mask";
const AUDIO: &str = "audio";

const OPTIONS: [(&str, &str, &str); 6] = [
    (TEXT, "TEXT", "A phrase: \"the dog on the left\""),
    (BOX, "X0,Y0,X1,Y1", "A box in the picture, in pixels"),
    (REF_IMAGE, "FILE", "Another picture of such an object"),
    (
        REF_BOX,
        "X0,Y0,X1,Y1",
        "The part of the last --ref-image that counts",
    ),
    (
        REF_MASK,
        "FILE",
        "The object in the last --ref-image, white on black",
    ),
    (AUDIO, "FILE", "The sound it makes (wav, flac, ogg, mp3)"),
];

impl Args for References {
    fn augment_args(command: clap::Command) -> clap::Command {
        OPTIONS
            .iter()
            .fold(command, |command, (name, value, help)| {
                command.arg(
                    clap::Arg::new(*name)
                        .long(*name)
                        .value_name(*value)
                        .help(*help)
                        .action(ArgAction::Append)
                        .value_parser(clap::value_parser!(OsString))
                        // A corner outside the picture; other values that begin so are options with a value forgotten.
                        .allow_hyphen_values(matches!(*name, BOX | REF_BOX))
                        .help_heading("References, any number in any mixture"),
                )
            })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for References {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given: Vec<(usize, &str, &OsString)> = Vec::new();
        for (name, ..) in OPTIONS {
            let indices = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<OsString>(name).into_iter().flatten();
            given.extend(
                indices
                    .zip(values)
                    .map(|(index, value)| (index, name, value)),
            );
        }
        given.sort_by_key(|(index, ..)| *index);
        // Files may have any name; what is read as words may not.
        let words = |name: &str, value: &OsString| {
            value.clone().into_string().map_err(|_| {
                let problem = format!("the value of --{name} is not valid UTF-8\n");
                clap::Error::raw(clap::error::ErrorKind::InvalidUtf8, problem)
            })
        };
        let mut references = Vec::new();
        for (_, name, value) in given {
            match name {
                TEXT => references.push(ReferenceArgument::Text(words(name, value)?)),
                BOX => references.push(ReferenceArgument::Box(words(name, value)?)),
                AUDIO => references.push(ReferenceArgument::Audio(value.into())),
                REF_IMAGE => references.push(ReferenceArgument::Image {
                    path: value.into(),
                    region: None,
                    mask: None,
                }),
                _ => match references.last_mut() {
                    Some(ReferenceArgument::Image { region, mask, .. })
                        if region.is_none() && mask.is_none() =>
                    {
                        if name == REF_BOX {
                            *region = Some(words(name, value)?);
                        } else {
                            *mask = Some(value.into());
                        }
                    }
                    _ => {
                        let problem = format!(
                            "--{name} belongs right after its --ref-image, and one of --ref-box and --ref-mask is enough\n"
                        );
                        return Err(clap::Error::raw(
                            clap::error::ErrorKind::ArgumentConflict,
                            problem,
                        ));
                    }
                },
            }
        }
        Ok(Self(references))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn references(line: &[&str]) -> Result<Vec<ReferenceArgument>, clap::Error> {
        let words = ["anyref", "segment", "--image", "i.png"].iter().chain(line);
        match Arguments::try_parse_from(words)?.command {
            Command::Segment(arguments) => Ok(arguments.references.0),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn references_keep_the_order_given() {
        let found = references(&[
            "--audio",
            "a.wav",
            "--text",
            "dog",
            "--ref-image",
            "r.png",
            "--ref-box",
            "1,2,3,4",
            "--box",
            "-1,0,5,5",
            "--ref-image",
            "s.png",
            "--text",
            "cat",
        ])
        .unwrap();
        let image = |path: &str, region: Option<&str>| ReferenceArgument::Image {
            path: path.into(),
            region: region.map(str::to_owned),
            mask: None,
        };
        assert_eq!(
            found,
            [
                ReferenceArgument::Audio("a.wav".into()),
                ReferenceArgument::Text("dog".into()),
                image("r.png", Some("1,2,3,4")),
                ReferenceArgument::Box("-1,0,5,5".into()),
                image("s.png", None),
                ReferenceArgument::Text("cat".into()),
            ]
        );
    }

    #[test]
    fn an_option_is_no_value_of_another() {
        for forgotten in ["--text", "--audio", "--ref-image"] {
            let error = references(&[forgotten, "--json"]).unwrap_err().to_string();
            assert!(error.contains("a value is required"), "{error}");
        }
        let found = references(&["--text=-40 degrees"]).unwrap();
        assert_eq!(found, [ReferenceArgument::Text("-40 degrees".into())]);
    }

    #[cfg(unix)]
    #[test]
    fn files_may_have_any_name_and_words_may_not() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let strange = OsStr::from_bytes(b"f\xf6n.wav");
        let asked = |option: &str| {
            let words = ["anyref", "segment", "--image", "i.png", option].map(OsString::from);
            Arguments::try_parse_from(words.into_iter().chain([strange.to_owned()]))
        };
        match asked("--audio").unwrap().command {
            Command::Segment(arguments) => {
                let expected = [ReferenceArgument::Audio(strange.into())];
                assert_eq!(arguments.references.0, expected);
            }
            other => panic!("{other:?}"),
        }
        let error = asked("--text").unwrap_err().to_string();
        assert!(error.contains("--text is not valid UTF-8"), "{error}");
    }

    #[test]
    fn a_crop_needs_its_picture() {
        assert!(references(&["--ref-box", "1,2,3,4", "--ref-image", "r.png"]).is_err());
        assert!(
            references(&["--ref-image", "r.png", "--text", "x", "--ref-mask", "m.png"]).is_err()
        );
    }
}
