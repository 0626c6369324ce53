//! AVSBench: sounds and the masks of their sources in the frames of short videos.
//!
//! ```text
//! Single-source/s4_meta_data.csv            S4: one source a video
//! Single-source/s4_data/{visual_frames,gt_masks}/SPLIT/CATEGORY/VIDEO/VIDEO_1.png ...
//! Single-source/s4_data/audio_wav/SPLIT/CATEGORY/VIDEO.wav
//!
//! Multi-sources/ms3_meta_data.csv           MS3: several sources
//! Multi-sources/ms3_data/visual_frames/VIDEO/VIDEO.mp4_1.png ...
//! Multi-sources/ms3_data/gt_masks/SPLIT/VIDEO/VIDEO_1.png ...
//! Multi-sources/ms3_data/audio_wav/SPLIT/VIDEO.wav
//!
//! AVSS/metadata.csv, AVSS/label2idx.json    AVSBench-semantic: classes
//! AVSS/{v1s,v1m,v2}/VIDEO/frames/0.jpg ..., labels_rgb/0.png ..., audio.wav
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::dataset::{Dataset, entry, some};
use super::error::{Error, Result};
use super::files;
use super::item::{Item, Reference, Subject, Target, Task};
use super::label_map::{LabelMap, Which};
use super::shape::{Pixels, Shape};
use super::table::Table;

/// Readable names of S4's categories.
const NAMES: &str = include_str!("../../assets/avsbench_names.json");
/// Annotated frames of a video of S4 and MS3.
const FRAMES: usize = 5;
/// Annotated frames of a new video of AVSBench-semantic.
const FRAMES_V2: usize = 10;
/// Folders of the frames: resized, and in their videos' resolution.
const VISUAL: [&str; 2] = ["visual_frames", "visual_frames_original_resolution"];

/// Coding of a frame's mask picture.
#[derive(Clone, Debug, PartialEq)]
enum Labels {
    /// White where the one source is, with the source's name.
    Source(String),
    /// Not 0 where any source is.
    Sources,
    /// One colour a class.
    Classes,
}

#[derive(Debug)]
struct Frame {
    id: String,
    image: PathBuf,
    audio: PathBuf,
    mask: PathBuf,
    labels: Labels,
}

/// One question for each annotated frame.
#[derive(Debug)]
pub(crate) struct AvsBench {
    name: String,
    entries: Vec<Frame>,
    /// Class names by colour.
    palette: BTreeMap<[u8; 3], String>,
}

impl AvsBench {
    /// Opens S4 (`Single-source`): the first frame of each training video, all five of `val` and
    /// `test`. `original` takes the frames in their videos' resolution, which must then be the
    /// masks' size.
    ///
    /// # Errors
    /// When the table cannot be read, or has no such split.
    pub(crate) fn s4(root: &Path, split: &str, original: bool) -> Result<Self> {
        let names: BTreeMap<String, String> =
            serde_json::from_str(NAMES).map_err(|e| Error::Options(e.to_string()))?;
        let data = root.join("s4_data");
        let frames = if split == "train" { 1 } else { FRAMES };
        let rows = Rows::open(
            &root.join("s4_meta_data.csv"),
            "split",
            "AVSBench S4",
            split,
        )?;
        let mut entries = Vec::new();
        for row in rows.chosen() {
            let (video, category) = (&row[0], rows.cell(row, 2)?);
            let place = Path::new(split).join(category);
            let spoken = category.replace('_', " ");
            let name = names.get(category).cloned().unwrap_or(spoken);
            for number in 1..=frames {
                let file = Path::new(video).join(format!("{video}_{number}.png"));
                let images = data.join(VISUAL[usize::from(original)]);
                entries.push(Frame {
                    id: format!("{video}/{number}"),
                    image: images.join(&place).join(&file),
                    audio: data
                        .join("audio_wav")
                        .join(&place)
                        .join(format!("{video}.wav")),
                    mask: data.join("gt_masks").join(&place).join(&file),
                    labels: Labels::Source(name.clone()),
                });
            }
        }
        Self::new(rows.name, entries, BTreeMap::new())
    }

    /// Opens MS3 (`Multi-sources`): five frames of each video, whose sources have no names.
    /// `original` takes the frames in their videos' resolution, which must then be the masks' size.
    ///
    /// # Errors
    /// When the table cannot be read, or has no such split.
    pub(crate) fn ms3(root: &Path, split: &str, original: bool) -> Result<Self> {
        let data = root.join("ms3_data");
        let rows = Rows::open(
            &root.join("ms3_meta_data.csv"),
            "split",
            "AVSBench MS3",
            split,
        )?;
        let mut entries = Vec::new();
        for row in rows.chosen() {
            let video = &row[0];
            for number in 1..=FRAMES {
                let images = data.join(VISUAL[usize::from(original)]).join(video);
                let masks = data.join("gt_masks").join(split).join(video);
                entries.push(Frame {
                    id: format!("{video}/{number}"),
                    image: images.join(format!("{video}.mp4_{number}.png")),
                    audio: data
                        .join("audio_wav")
                        .join(split)
                        .join(format!("{video}.wav")),
                    mask: masks.join(format!("{video}_{number}.png")),
                    labels: Labels::Sources,
                });
            }
        }
        Self::new(rows.name, entries, BTreeMap::new())
    }

    /// Opens AVSBench-semantic: the annotated frames of each video, with a target for each class
    /// heard.
    ///
    /// # Errors
    /// When the table or the classes cannot be read, or there is no such split.
    pub(crate) fn semantic(root: &Path, split: &str) -> Result<Self> {
        let path = root.join("label2idx.json");
        let numbers: BTreeMap<String, u32> = files::json(&path)?;
        let palette = numbers.into_iter().filter(|&(_, number)| number != 0);
        let palette = palette
            .map(|(name, number)| (colour(number), name))
            .collect();
        let rows = Rows::open(
            &root.join("metadata.csv"),
            "split",
            "AVSBench-semantic",
            split,
        )?;
        let (uid, label) = (rows.table.column("uid")?, rows.table.column("label")?);
        let mut entries = Vec::new();
        for row in rows.chosen() {
            let (video, set) = (&row[uid], &row[label]);
            let folder = root.join(set).join(video);
            let frames = match (set, split) {
                ("v1s", "train") => 1,
                ("v2", _) => FRAMES_V2,
                _ => FRAMES,
            };
            for number in 0..frames {
                entries.push(Frame {
                    id: format!("{video}/{number}"),
                    image: folder.join(format!("frames/{number}.jpg")),
                    audio: folder.join("audio.wav"),
                    mask: folder.join(format!("labels_rgb/{number}.png")),
                    labels: Labels::Classes,
                });
            }
        }
        Self::new(rows.name, entries, palette)
    }

    fn new(name: String, entries: Vec<Frame>, palette: BTreeMap<[u8; 3], String>) -> Result<Self> {
        some(&name, &entries)?;
        Ok(Self {
            name,
            entries,
            palette,
        })
    }

    fn targets(&self, frame: &Frame) -> Result<Vec<Target>> {
        let target = |phrase: &str, which| Target {
            phrase: phrase.to_owned(),
            shape: Shape::Pixels(Pixels {
                path: frame.mask.clone(),
                which,
            }),
        };
        let map = LabelMap::open(&frame.mask)?;
        let (phrase, which) = match &frame.labels {
            Labels::Source(name) => (name.as_str(), Which::Bright),
            Labels::Sources => ("", Which::NotZero),
            Labels::Classes => {
                let colours = map.colours().into_keys();
                let named = colours.filter_map(|c| Some((c, self.palette.get(&c)?)));
                return Ok(named
                    .map(|(c, name)| target(name, Which::Colour(c)))
                    .collect());
            }
        };
        // Some frames have no sounding source.
        match map.mask(which).area() {
            0 => Ok(Vec::new()),
            _ => Ok(vec![target(phrase, which)]),
        }
    }
}

impl Dataset for AvsBench {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn item(&self, index: usize, _draw: u64) -> Result<Item> {
        let frame = entry(&self.name, &self.entries, index)?;
        let size = files::picture_size(&frame.image)?;
        let mut item = Item::new(&frame.id, frame.image.clone(), size, Task::Audio);
        item.references.push(Reference::Audio(frame.audio.clone()));
        item.targets = self.targets(frame)?;
        let video = frame.id.rsplit_once('/');
        item.video = video.map(|(video, _)| video.to_owned());
        Ok(item)
    }

    fn subject(&self, index: usize) -> Result<Subject> {
        let frame = entry(&self.name, &self.entries, index)?;
        Ok(Subject {
            image: frame.image.clone(),
            thing: index,
        })
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        let frames = self.entries.iter();
        let files = frames.flat_map(|f| [&f.image, &f.audio, &f.mask]);
        files.cloned().collect()
    }
}

/// Table rows of one split.
struct Rows {
    name: String,
    table: Table,
    path: PathBuf,
    column: usize,
    split: String,
}

impl Rows {
    fn open(path: &Path, column: &str, dataset: &str, split: &str) -> Result<Self> {
        let table = Table::open(path)?;
        let column = table.column(column)?;
        let known: BTreeSet<&str> = table.rows().iter().map(|row| &row[column]).collect();
        if !known.contains(split) {
            return Err(Error::Split {
                dataset: dataset.to_owned(),
                split: split.to_owned(),
                known: known.into_iter().collect::<Vec<_>>().join(", "),
            });
        }
        Ok(Self {
            name: format!("{dataset} {split}"),
            table,
            path: path.to_owned(),
            column,
            split: split.to_owned(),
        })
    }

    fn chosen(&self) -> impl Iterator<Item = &StringRecord> {
        let rows = self.table.rows().iter();
        rows.filter(|row| row[self.column] == *self.split)
    }

    fn cell<'r>(&self, row: &'r StringRecord, column: usize) -> Result<&'r str> {
        let width = self.table.width();
        row.get(column).ok_or_else(|| {
            let reason = format!("{width} columns instead of at least {}", column + 1);
            Error::format(&self.path, reason)
        })
    }
}

/// Colour of a class in PASCAL VOC's palette: the bits of `number`, lowest first, go to red, green
/// and blue in turn, and fill each channel from its highest bit down.
fn colour(number: u32) -> [u8; 3] {
    let mut colour = [0; 3];
    for bit in 0..24 {
        let on = (number >> bit & 1) as u8;
        colour[bit % 3] |= on << (7 - bit / 3);
    }
    colour
}
