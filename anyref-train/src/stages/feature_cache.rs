//! Features of frozen encoders, kept on disk for the epochs to come.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use anyref_core::AnyRefModel;
use anyref_vision::preprocess::PixelValues;
use anyref_weights::write_atomic;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Where features are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureCacheConfig {
    /// The folder; several runs may share it.
    pub folder: PathBuf,
    /// How much it may hold. What comes when it is full is computed each time.
    pub gigabytes: f64,
}

/// The features of both encoders of pictures.
#[derive(Debug)]
pub(super) struct FeatureCaches {
    /// Of CLIP's vision tower, `[patches, channels]` a picture.
    pub(super) clip: FeatureCache,
    /// Of SAM's image encoder, `[channels, rows, columns]` a picture.
    pub(super) sam: FeatureCache,
}

impl FeatureCaches {
    pub(super) fn open<B: Backend>(
        config: &FeatureCacheConfig,
        model: &AnyRefModel<B>,
    ) -> Result<Self> {
        let layer = model.select_layer();
        let clip =
            FeatureCache::open::<B, _>(config, &format!("clip{layer}"), &model.vision_tower)?;
        let sam = FeatureCache::open::<B, _>(config, "sam", &model.image_encoder)?;
        Ok(Self { clip, sam })
    }
}

/// What a file begins with; the number is that of the layout.
const MAGIC: &[u8; 8] = b"AnyRefF1";

/// Features of one encoder with certain weights, a file a picture.
#[derive(Debug)]
pub struct FeatureCache {
    folder: PathBuf,
    limit: u64,
    used: AtomicU64,
}

impl FeatureCache {
    /// Opens the features of an encoder, which are named after its weights.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open<B: Backend, M: Module<B>>(
        config: &FeatureCacheConfig,
        name: &str,
        encoder: &M,
    ) -> Result<Self> {
        let mut weights = Weights(DefaultHasher::new());
        encoder.visit(&mut weights);
        let folder = config
            .folder
            .join(format!("{name}-{:016x}", weights.0.finish()));
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let used = size(&config.folder)
            .with_context(|| format!("cannot read {}", config.folder.display()))?;
        Ok(Self {
            folder,
            limit: (config.gigabytes * 1e9) as u64,
            used: AtomicU64::new(used),
        })
    }

    /// The features of some pictures, `[pictures, ...]`. `encode` gets those that are not kept yet, all at once.
    ///
    /// # Errors
    /// When what is kept is of different shapes.
    pub fn features<B: Backend, const D: usize>(
        &self,
        pictures: &[PixelValues],
        device: &B::Device,
        encode: impl FnOnce(&[PixelValues]) -> Tensor<B, D>,
    ) -> Result<Tensor<B, D>> {
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
        ensure!(
            entries.iter().all(|entry| entry.shape == shape) && shape.len() + 1 == D,
            "{} holds features of different shapes: delete it",
            self.folder.display()
        );
        let shape = [vec![entries.len()], shape].concat();
        let values: Vec<f32> = entries.into_iter().flat_map(|entry| entry.values).collect();
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    fn file(&self, key: u64) -> PathBuf {
        self.folder.join(format!("{key:016x}"))
    }

    /// A damaged file is none.
    fn read(&self, key: u64) -> Option<Entry> {
        Entry::parse(&fs::read(self.file(key)).ok()?)
    }

    /// Written beside, then renamed; not at all when that would be too much. Where it cannot be written, as on a full disk,
    /// nothing more is kept: training goes on without.
    fn write(&self, key: u64, entry: &Entry) {
        let bytes = entry.bytes();
        let length = bytes.len() as u64;
        let more = |used: u64| used.checked_add(length).filter(|sum| *sum <= self.limit);
        let order = Ordering::Relaxed;
        if self.used.fetch_update(order, order, more).is_err() {
            return;
        }
        let file = self.file(key);
        // Several threads and runs may write the same at the same time.
        if let Err(error) = write_atomic(&file, bytes)
            && self.used.swap(u64::MAX, order) != u64::MAX
        {
            eprintln!("features are no longer kept: {error}");
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
        bytes.extend(hash(&values).to_le_bytes());
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
        if values.len() != length || hash(values) != u64::from_le_bytes(*sum) {
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

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// What tells pictures apart.
fn key(picture: &PixelValues) -> u64 {
    let mut hasher = DefaultHasher::new();
    for side in picture.shape {
        hasher.write_usize(side);
    }
    for value in &picture.data {
        hasher.write_u32(value.to_bits());
    }
    hasher.finish()
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum += match entry.file_type()?.is_dir() {
            true => size(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(sum)
}

/// What tells weights apart.
struct Weights(DefaultHasher);

impl<B: Backend> ModuleVisitor<B> for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let data = param.val().into_data();
        for &side in data.shape.iter() {
            self.0.write_usize(side);
        }
        self.0.write(data.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;
    use burn::nn::LinearConfig;

    fn picture(seed: f32) -> PixelValues {
        PixelValues {
            data: vec![seed; 12],
            shape: [3, 2, 2],
        }
    }

    /// Counts how many pictures are encoded.
    fn ask(cache: &FeatureCache, seeds: &[f32]) -> (Vec<f32>, usize) {
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

    fn open(folder: &Path, gigabytes: f64, weight: f64) -> FeatureCache {
        let config = FeatureCacheConfig {
            folder: folder.into(),
            gigabytes,
        };
        let initializer = burn::module::Initializer::Constant { value: weight };
        let encoder = LinearConfig::new(2, 2).with_initializer(initializer);
        FeatureCache::open::<Flex, _>(&config, "test", &encoder.init::<Flex>(&Default::default()))
            .unwrap()
    }

    #[test]
    fn what_was_encoded_is_kept_by_picture_and_weights() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 1.0, 0.5);
        assert_eq!(ask(&cache, &[1.0, 2.0]), (vec![1.0, 2.0], 2));
        // In their order, whichever are new.
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
        let whole = fs::read(cache.file(key(&picture(1.0)))).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let damages = [&whole[..whole.len() - 3], &flipped[..], &whole[..9]];
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
        assert_eq!(size(folder.path()).unwrap(), 104);
        assert_eq!(ask(&cache, &[1.0, 2.0, 3.0]), (vec![1.0, 2.0, 3.0], 1));
        let other = open(folder.path(), 110e-9, 0.6);
        ask(&other, &[1.0]);
        assert_eq!(size(folder.path()).unwrap(), 104);
    }
}
