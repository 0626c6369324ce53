//! On-disk cache of the features of frozen encoders, for later epochs.
//!
//! The cache has one folder for each encoder with its weights, and one file for each picture.
//! Pictures and weights are identified by a hash that is equal on every machine and with every
//! compiler. When the cache is full, files of encoders that the run does not use are deleted, least
//! recently used first: other weights, and files of older layouts. Features of the run's own
//! encoders stay; those that find no room are computed each time.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyref_core::{AnyRefModel, Tower};
use anyref_vision::preprocess::PixelValues;
use anyref_weights::{StableHash, write_atomic_unsynced};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::file_error::FileError;
use crate::stage_error::StageError;

/// Configuration of the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureCacheConfig {
    /// Folder of the cache; several runs may share it.
    pub folder: PathBuf,
    /// Largest size in gigabytes. When the cache is full, features of other encoders are deleted;
    /// features that still find no room are computed each time.
    pub gigabytes: f64,
}

/// Caches of both picture encoders.
#[derive(Debug)]
pub(crate) struct FeatureCaches {
    /// Features of the vision tower, `[patches, channels]` a square.
    pub(crate) tower: EncoderCache,
    /// Features of SAM's image encoder, `[channels, rows, columns]` a picture; none of SAM 2.
    pub(crate) sam: Option<EncoderCache>,
}

impl FeatureCaches {
    /// Opens the caches of a model's encoders with their current weights.
    ///
    /// # Errors
    /// When the folder cannot be created or read.
    pub(crate) fn open<B: Backend>(
        config: &FeatureCacheConfig,
        model: &AnyRefModel<B>,
    ) -> Result<Self, StageError> {
        let layer = model.select_layer();
        let tower = match &model.vision_tower {
            Tower::Clip(_) => format!("clip{layer}"),
            Tower::InternVit(_) => format!("internvit{layer}"),
        };
        let tower = encoder_name::<B, _>(&tower, &model.vision_tower);
        let Some(masks) = model.masks() else {
            let [tower] = FeatureCache::open(config, [tower])?;
            return Ok(Self { tower, sam: None });
        };
        let sam = encoder_name::<B, _>("sam", masks.image_encoder);
        let [tower, sam] = FeatureCache::open(config, [tower, sam])?;
        let sam = Some(sam);
        Ok(Self { tower, sam })
    }
}

/// Magic bytes of a file, with the number of the layout.
const MAGIC: &[u8; 8] = b"AnyRefF2";
/// Part of the encoders' folder names, absent from older layouts.
const LAYOUT: &str = "-v2-";
/// Age from which a partial file belongs to a killed run.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Folder that the encoders share, with its size limit.
#[derive(Debug)]
struct FeatureCache {
    folder: PathBuf,
    /// Largest size in bytes.
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Size of all files in bytes.
    used: u64,
    /// Files that may be deleted; the last is deleted first.
    stale: Vec<StaleFile>,
    /// Whether deletions were logged.
    deleting: bool,
    /// Whether new features are refused: the cache is full, or cannot be written.
    closed: bool,
}

/// File of an encoder that the run does not use, ordered by deletion.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct StaleFile {
    /// Whether the file has the current layout; older layouts are deleted first.
    readable: bool,
    /// Last use of the encoder, and modification time of the file.
    used: [SystemTime; 2],
    path: PathBuf,
    length: u64,
}

impl FeatureCache {
    /// Opens the folder for encoders with these names.
    fn open<const N: usize>(
        config: &FeatureCacheConfig,
        encoders: [String; N],
    ) -> Result<[EncoderCache; N], StageError> {
        let folders = encoders.map(|name| config.folder.join(name));
        for folder in &folders {
            fs::create_dir_all(folder).map_err(FileError::of("create", folder))?;
            // Marks the last use; if that fails, the time of the newest file does.
            let _ = File::open(folder).and_then(|open| open.set_modified(SystemTime::now()));
        }
        let state = State::read(&config.folder, &folders.iter().collect())
            .map_err(FileError::of("read", &config.folder))?;
        let cache = Arc::new(Self {
            folder: config.folder.clone(),
            limit: (config.gigabytes * 1e9) as u64,
            state: Mutex::new(state),
        });
        Ok(folders.map(|folder| EncoderCache {
            cache: cache.clone(),
            folder,
        }))
    }

    /// Makes room for a file of `length` bytes; returns whether there is room.
    fn reserve(&self, length: u64) -> bool {
        let mut state = self.state();
        while !state.closed && state.used.saturating_add(length) > self.limit {
            let Some(file) = state.stale.pop() else {
                state.closed = true;
                log::warn!(
                    "{} is full: features of further pictures are computed each time",
                    self.folder.display()
                );
                break;
            };
            if !state.deleting {
                state.deleting = true;
                log::info!(
                    "{} is full: features of encoders that are not in use are deleted",
                    self.folder.display()
                );
            }
            match fs::remove_file(&file.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    log::warn!("cannot delete {}: {error}", file.path.display());
                }
                _ => state.used = state.used.saturating_sub(file.length),
            }
            // Fails as long as the folder has files.
            let _ = file.path.parent().map(fs::remove_dir);
        }
        if !state.closed {
            state.used += length;
        }
        !state.closed
    }

    /// Refuses new features because a file cannot be written.
    fn close(&self, error: &anyref_weights::Error) {
        let mut state = self.state();
        if !state.closed {
            state.closed = true;
            log::warn!("features are no longer kept: {error}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds up all files below a folder, and lists those of encoders not `in_use`.
    fn read(folder: &Path, in_use: &BTreeSet<&PathBuf>) -> io::Result<Self> {
        let mut state = Self::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, about) = (entry.path(), entry.metadata()?);
            if !about.is_dir() {
                state.used += about.len();
                continue;
            }
            let (kept, last) = (in_use.contains(&path), about.modified()?);
            for file in fs::read_dir(&path)? {
                let file = file?;
                // Other runs may rename or delete files meanwhile.
                let Ok(about) = file.metadata() else { continue };
                state.used += about.len();
                let modified = about.modified()?;
                let partial = file.path().extension().is_some();
                let old = modified.elapsed().is_ok_and(|age| age > ABANDONED);
                if !kept || (partial && old) {
                    state.stale.push(StaleFile {
                        readable: entry.file_name().to_string_lossy().contains(LAYOUT) && !partial,
                        used: [last, modified],
                        path: file.path(),
                        length: about.len(),
                    });
                }
            }
        }
        state.stale.sort_by(|a, b| b.cmp(a));
        Ok(state)
    }
}

/// Cached features of one encoder with fixed weights.
#[derive(Debug)]
pub(crate) struct EncoderCache {
    cache: Arc<FeatureCache>,
    folder: PathBuf,
}

impl EncoderCache {
    /// Features of pictures, `[pictures, ...]`. `encode` gets all uncached pictures at once.
    ///
    /// # Errors
    /// When cached features have different shapes.
    pub(crate) fn features<B: Backend, const D: usize>(
        &self,
        pictures: &[PixelValues],
        device: &B::Device,
        encode: impl FnOnce(&[PixelValues]) -> Tensor<B, D>,
    ) -> Result<Tensor<B, D>, StageError> {
        let keys: Vec<u64> = pictures.iter().map(key).collect();
        let mut kept: Vec<Option<Entry>> = keys.iter().map(|&key| self.read(key)).collect();
        let new: Vec<usize> = (0..kept.len()).filter(|&i| kept[i].is_none()).collect();
        if !new.is_empty() {
            let wanted: Vec<_> = new.iter().map(|&i| pictures[i].clone()).collect();
            let features = encode(&wanted);
            let shape = features.dims()[1..].to_vec();
            let data = features.into_data().convert::<f32>();
            let values: Vec<f32> = data.iter().collect();
            let length: usize = shape.iter().product();
            for (&index, values) in new.iter().zip(values.chunks_exact(length)) {
                let entry = Entry {
                    shape: shape.clone(),
                    values: values.to_vec(),
                };
                self.write(keys[index], &entry);
                kept[index] = Some(entry);
            }
        }
        let entries: Vec<Entry> = kept.into_iter().flatten().collect();
        let shape = entries
            .first()
            .map_or(Vec::new(), |entry| entry.shape.clone());
        if !entries.iter().all(|entry| entry.shape == shape) || shape.len() + 1 != D {
            return Err(StageError::Features {
                folder: self.folder.clone(),
            });
        }
        let shape = [vec![entries.len()], shape].concat();
        let values: Vec<f32> = entries.into_iter().flat_map(|entry| entry.values).collect();
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    fn file(&self, key: u64) -> PathBuf {
        self.folder.join(format!("{key:016x}"))
    }

    /// Cached entry; `None` if the file is damaged.
    fn read(&self, key: u64) -> Option<Entry> {
        Entry::parse(&fs::read(self.file(key)).ok()?)
    }

    /// Writes a file atomically, if there is room.
    fn write(&self, key: u64, entry: &Entry) {
        let bytes = entry.bytes();
        let file = self.file(key);
        // A damaged file is replaced.
        let before = fs::metadata(&file).map_or(0, |about| about.len());
        if !self.cache.reserve(bytes.len() as u64) {
            return;
        }
        // Another run may have deleted the folder while it was empty.
        let _ = fs::create_dir_all(&self.folder);
        // Several threads and runs may write the same file at the same time.
        match write_atomic_unsynced(&file, bytes) {
            Ok(()) => {
                let mut state = self.cache.state();
                state.used = state.used.saturating_sub(before);
            }
            Err(error) => self.cache.close(&error),
        }
    }
}

/// Features of one picture.
struct Entry {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Entry {
    fn bytes(&self) -> Vec<u8> {
        let values: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let sides = self
            .shape
            .iter()
            .flat_map(|&side| (side as u32).to_le_bytes());
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.shape.len() as u32).to_le_bytes());
        bytes.extend(sides);
        bytes.extend(StableHash::new().bytes(&values).finish().to_le_bytes());
        bytes.extend(values);
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (rank, mut rest) = number(rest)?;
        let mut shape = Vec::new();
        for _ in 0..rank.min(8) {
            let side;
            (side, rest) = number(rest)?;
            shape.push(side as usize);
        }
        let (sum, values) = rest.split_first_chunk::<8>()?;
        let length = shape
            .iter()
            .try_fold(4_usize, |n, &side| n.checked_mul(side))?;
        if values.len() != length
            || StableHash::new().bytes(values).finish() != u64::from_le_bytes(*sum)
        {
            return None;
        }
        let (values, _) = values.as_chunks::<4>();
        let values = values.iter().map(|&bytes| f32::from_le_bytes(bytes));
        Some(Self {
            shape,
            values: values.collect(),
        })
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// Folder name of an encoder with its weights.
fn encoder_name<B: Backend, M: Module<B>>(name: &str, encoder: &M) -> String {
    let mut weights = WeightHash(StableHash::new());
    encoder.visit(&mut weights);
    format!("{name}{LAYOUT}{:016x}", weights.0.finish())
}

/// Hash of a picture.
fn key(picture: &PixelValues) -> u64 {
    let shape = picture.shape.into_iter();
    let hash = shape.fold(StableHash::new(), |hash, side| hash.number(side as u64));
    hash.floats(&picture.data).finish()
}

/// Visitor that hashes weights.
struct WeightHash(StableHash);

impl<B: Backend> ModuleVisitor<B> for WeightHash {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let data = param.val().into_data();
        let sides = data.shape.iter();
        let hash = sides.fold(std::mem::take(&mut self.0), |hash, &side| {
            hash.number(side as u64)
        });
        self.0 = hash.bytes(data.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyref_ops::nn::{Linear, LinearConfig};
    use burn::backend::Flex;

    fn picture(seed: f32) -> PixelValues {
        PixelValues {
            data: vec![seed; 12],
            shape: [3, 2, 2],
        }
    }

    /// Returns the features, and the number of pictures that were encoded.
    fn ask(cache: &EncoderCache, seeds: &[f32]) -> (Vec<f32>, usize) {
        let pictures: Vec<_> = seeds.iter().map(|&seed| picture(seed)).collect();
        let device = Default::default();
        let mut encoded = 0;
        let features: Tensor<Flex, 3> = cache
            .features(&pictures, &device, |new| {
                encoded = new.len();
                let values: Vec<f32> = new.iter().flat_map(|p| p.data[..6].to_vec()).collect();
                Tensor::from_data(TensorData::new(values, [new.len(), 2, 3]), &device)
            })
            .unwrap();
        assert_eq!(features.dims(), [seeds.len(), 2, 3]);
        let features = features.mean_dim(2).mean_dim(1);
        (features.into_data().to_vec().unwrap(), encoded)
    }

    fn open(folder: &Path, gigabytes: f64, weight: f64) -> EncoderCache {
        let config = FeatureCacheConfig {
            folder: folder.into(),
            gigabytes,
        };
        let name = encoder_name::<Flex, _>("test", &encoder(weight));
        let [cache] = FeatureCache::open(&config, [name]).unwrap();
        cache
    }

    fn encoder(weight: f64) -> Linear<Flex> {
        let initializer = burn::module::Initializer::Constant { value: weight };
        let encoder = LinearConfig::new(2, 2).with_initializer(initializer);
        encoder.init(&Default::default())
    }

    /// Size of all files below a folder in bytes, measured anew.
    fn size(folder: &Path) -> u64 {
        State::read(folder, &BTreeSet::new()).unwrap().used
    }

    /// Names of files and folders stay valid after an update of the compiler or the program.
    #[test]
    fn hashes_are_the_same_everywhere() {
        assert_eq!(key(&picture(1.0)), 0xd35d_c4a7_98fb_d0af);
        let name = encoder_name::<Flex, _>("test", &encoder(0.5));
        assert_eq!(name, "test-v2-5b2782ef80b48fcf");
    }

    #[test]
    fn what_was_encoded_is_kept_by_picture_and_weights() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 1.0, 0.5);
        assert_eq!(ask(&cache, &[1.0, 2.0]), (vec![1.0, 2.0], 2));
        // Features come in the order of the pictures, whichever are new.
        assert_eq!(ask(&cache, &[2.0, 3.0, 1.0]), (vec![2.0, 3.0, 1.0], 1));
        let again = open(folder.path(), 1.0, 0.5);
        assert_eq!(ask(&again, &[3.0, 1.0]), (vec![3.0, 1.0], 0));
        let trained = open(folder.path(), 1.0, 0.6);
        assert_eq!(ask(&trained, &[3.0, 1.0]).1, 2);
    }

    #[test]
    fn damaged_files_are_encoded_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 1.0, 0.5);
        ask(&cache, &[1.0, 2.0, 3.0, 4.0]);
        let good = fs::read(cache.file(key(&picture(1.0)))).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let damages = [&good[..good.len() - 3], &flipped[..], &good[..9]];
        for (seed, bytes) in [1.0, 2.0, 3.0].into_iter().zip(damages) {
            fs::write(cache.file(key(&picture(seed))), bytes).unwrap();
        }
        assert_eq!(
            ask(&cache, &[1.0, 2.0, 3.0, 4.0]),
            (vec![1.0, 2.0, 3.0, 4.0], 3)
        );
        assert_eq!(ask(&cache, &[1.0, 2.0, 3.0, 4.0]).1, 0);
    }

    #[test]
    fn a_full_cache_grows_no_more() {
        let folder = tempfile::tempdir().unwrap();
        // A file takes 52 bytes: room for two.
        let cache = open(folder.path(), 110e-9, 0.5);
        assert_eq!(ask(&cache, &[1.0, 2.0, 3.0]).1, 3);
        assert_eq!(size(folder.path()), 104);
        assert_eq!(ask(&cache, &[1.0, 2.0, 3.0]), (vec![1.0, 2.0, 3.0], 1));
        assert_eq!(size(folder.path()), 104);
    }

    /// Features of other weights make room, those used longest ago first, and the files of an older
    /// layout before them.
    #[test]
    fn stale_features_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let room = 6.0 * 52e-9;
        let age = |path: &Path, seconds: u64| {
            let then = SystemTime::now() - Duration::from_secs(seconds);
            File::open(path).unwrap().set_modified(then).unwrap();
        };
        ask(&open(folder, room, 0.1), &[1.0, 2.0]);
        ask(&open(folder, room, 0.2), &[1.0, 2.0]);
        let of = |weight| folder.join(encoder_name::<Flex, _>("test", &encoder(weight)));
        age(&of(0.1), 50);
        age(&of(0.2), 90);
        let before = folder.join("test-0123456789abcdef");
        fs::create_dir(&before).unwrap();
        fs::write(before.join("fedcba9876543210"), [0; 60]).unwrap();
        fs::write(before.join("fedcba9876543211"), [0; 44]).unwrap();
        assert_eq!(size(folder), 6 * 52);

        let files = |folder: PathBuf| fs::read_dir(folder).map_or(0, |files| files.count());
        let left = || [before.clone(), of(0.2), of(0.1), of(0.3)].map(files);
        let cache = open(folder, room, 0.3);
        assert_eq!(left(), [2, 2, 2, 0]);
        ask(&cache, &[1.0]);
        assert!(left()[0] < 2 && left()[1..] == [2, 2, 1], "{:?}", left());
        ask(&cache, &[2.0, 3.0]);
        assert_eq!(left(), [0, 1, 2, 3]);
        ask(&cache, &[4.0, 5.0]);
        assert_eq!(left(), [0, 0, 1, 5]);
        ask(&cache, &[6.0, 7.0]);
        assert_eq!(left(), [0, 0, 0, 6]);
        assert_eq!(size(folder), 6 * 52);
        // Features of the run's own encoder stay.
        let seeds = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(ask(&cache, &seeds), (seeds.to_vec(), 0));
        assert_eq!(ask(&cache, &[7.0]).1, 1);
    }

    /// Partial files of a killed run make room.
    #[test]
    fn half_files_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let cache = open(folder, 53e-9, 0.5);
        let partial = cache.file(1).with_extension("1-1.partial");
        fs::write(&partial, [0; 40]).unwrap();
        let old = SystemTime::now() - 2 * ABANDONED;
        File::options()
            .write(true)
            .open(&partial)
            .unwrap()
            .set_modified(old)
            .unwrap();
        ask(&open(folder, 53e-9, 0.5), &[1.0]);
        assert!(!partial.exists());
        assert_eq!(size(folder), 52);
    }
}
