//! References of a question, in the order given.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgAction, ArgMatches, Args, FromArgMatches};

/// Reference as written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferenceArgument {
    /// Phrase.
    Text(String),
    /// Box in the picture.
    Box(String),
    /// Mask in the picture.
    Region(PathBuf),
    /// Picture, restricted to a box or a mask in it.
    Image {
        path: PathBuf,
        region: Option<String>,
        mask: Option<PathBuf>,
    },
    /// Sound.
    Audio(PathBuf),
}

impl ReferenceArgument {
    /// Files that the reference is read from.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let files = match self {
            Self::Text(_) | Self::Box(_) => [None, None],
            Self::Image { path, mask, .. } => [Some(path), mask.as_ref()],
            Self::Region(path) | Self::Audio(path) => [Some(path), None],
        };
        files.into_iter().flatten().map(PathBuf::as_path)
    }
}

/// References of all kinds in the order given.
#[derive(Debug, Clone, Default)]
pub struct References(pub Vec<ReferenceArgument>);

const TEXT: &str = "text";
const BOX: &str = "box";
const REGION: &str = "region";
const REF_IMAGE: &str = "ref-image";
const REF_BOX: &str = "ref-box";
const REF_MASK: &str = "ref-mask";
const AUDIO: &str = "audio";

const OPTIONS: [(&str, &str, &str); 7] = [
    (TEXT, "TEXT", "Phrase: \"the dog on the left\""),
    (BOX, "X0,Y0,X1,Y1", "Box in the picture, in pixels"),
    (
        REGION,
        "FILE",
        "Mask of the object in the picture, white on black, whose shape Sa2VA reads; other models \
         read the box around it",
    ),
    (REF_IMAGE, "FILE", "Picture that shows another such object"),
    (
        REF_BOX,
        "X0,Y0,X1,Y1",
        "Part of the last --ref-image that shows the object",
    ),
    (
        REF_MASK,
        "FILE",
        "Mask of the object in the last --ref-image, white on black",
    ),
    (AUDIO, "FILE", "Sound of the object (wav, flac, ogg, mp3)"),
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
                        // Corners may lie outside of the picture, at negative numbers; other values
                        // may not start with a hyphen.
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
        // File names may be any bytes; other values must be UTF-8.
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
                REGION => references.push(ReferenceArgument::Region(value.into())),
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
                            "--{name} belongs right after its --ref-image, \
                             and one of --ref-box and --ref-mask is enough\n"
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
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn references(line: &[&str]) -> Result<Vec<ReferenceArgument>, clap::Error> {
        let words = ["anyref", "segment", "--image", "i.png"].iter().chain(line);
        match Arguments::try_parse_from(words)?.command {
            Command::Segment(arguments) => Ok(arguments.references.0),
            other => panic!("{other:?}"),
        }
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
