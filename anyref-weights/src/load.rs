//! Filling of a module from a checkpoint.

use std::collections::{BTreeMap, HashMap};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, DType, Element, Int, Tensor, TensorData};
use regex::Regex;

use crate::checkpoint::{Checkpoint, TensorEntry};
use crate::error::{Error, Result};
use crate::load_options::LoadOptions;
use crate::param_path::{ParamPath, transpose};
use crate::parameters::{Parameter, parameters};
use crate::report::{LoadReport, ShapeMismatch, TypeMismatch, Unexpected};

/// Fills every parameter of `module` from `checkpoint`, in PyTorch's names and layout.
///
/// Names and shapes are compared before anything is read, and the module changes only after all of
/// it was read: any error leaves it unchanged. Lazy parameters are never initialised; their devices
/// and `require_grad` are kept. Host memory holds one tensor of the checkpoint at a time, with its
/// converted copy.
///
/// # Errors
/// [`Error::Mismatch`] with the full [`LoadReport`] when a parameter is missing, a tensor is
/// unexpected, or a shape or type differs, unless the options allow it; other errors name the file.
pub fn load_module<B: Backend, M: Module<B>>(
    module: &mut M,
    checkpoint: &Checkpoint,
    options: &LoadOptions,
) -> Result<LoadReport> {
    if let Some(dtype) = options.cast
        && !matches!(dtype, DType::F64 | DType::F32 | DType::F16 | DType::BF16)
    {
        return Err(Error::DType {
            tensor: "cast".into(),
            action: "load as",
            dtype: dtype.name().into(),
        });
    }
    let tensors = renamed_tensors(checkpoint, options)?;
    let report = compare(checkpoint, &tensors, &parameters(module), options)?;
    if !report.is_complete() {
        return Err(Error::Mismatch(Box::new(report)));
    }
    let mut filler = Filler {
        path: ParamPath::default(),
        tensors: &tensors,
        options,
        wide: patterns("wide", &options.wide)?,
        error: None,
    };
    // A clone shares the tensors, and keeps the module intact if reading fails half-way.
    let filled = module.clone().map(&mut filler);
    match filler.error {
        Some(error) => Err(error),
        None => {
            *module = filled;
            Ok(report)
        }
    }
}

/// Report that [`load_module`] would give, without reading values or changing the module.
///
/// # Errors
/// When a rule of the options is invalid or two tensors get one name. A checkpoint that does not
/// fit is not an error, see [`LoadReport::is_complete`].
pub fn check_module<B: Backend, M: Module<B>>(
    module: &M,
    checkpoint: &Checkpoint,
    options: &LoadOptions,
) -> Result<LoadReport> {
    let tensors = renamed_tensors(checkpoint, options)?;
    compare(checkpoint, &tensors, &parameters(module), options)
}

/// Tensors that match the prefix of the options, by their name after prefix and rename rules, which
/// is the name that [`load_module`] looks up.
///
/// # Errors
/// [`Error::RenameClash`] when two tensors get one name, [`Error::Pattern`] for an invalid rule.
pub fn renamed_tensors<'a>(
    checkpoint: &'a Checkpoint,
    options: &LoadOptions,
) -> Result<HashMap<String, &'a TensorEntry>> {
    let mut rules = Vec::with_capacity(options.rename.len());
    for (from, to) in &options.rename {
        rules.push((regex("rename", from)?, to.as_str()));
    }
    let prefix = options.prefix.as_deref().unwrap_or("");
    let mut tensors: HashMap<String, &TensorEntry> = HashMap::with_capacity(checkpoint.len());
    for tensor in checkpoint.tensors() {
        let Some(name) = tensor.name.strip_prefix(prefix) else {
            continue;
        };
        let mut name = name.to_string();
        for (from, to) in &rules {
            name = from.replace_all(&name, *to).into_owned();
        }
        if let Some(first) = tensors.insert(name.clone(), tensor) {
            return Err(Error::RenameClash {
                path: checkpoint.path().to_path_buf(),
                first: first.name.clone(),
                second: tensor.name.clone(),
                renamed: name,
            });
        }
    }
    Ok(tensors)
}

fn regex(option: &'static str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|e| Error::Pattern {
        option,
        pattern: pattern.to_string(),
        reason: e
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .trim()
            .to_string(),
    })
}

pub(crate) fn patterns(option: &'static str, patterns: &[String]) -> Result<Vec<Regex>> {
    patterns
        .iter()
        .map(|pattern| regex(option, pattern))
        .collect()
}

/// Compares the module's parameters with the checkpoint's tensors.
fn compare(
    checkpoint: &Checkpoint,
    tensors: &HashMap<String, &TensorEntry>,
    wanted: &BTreeMap<String, Parameter>,
    options: &LoadOptions,
) -> Result<LoadReport> {
    let may_miss = patterns("allow_missing", &options.allow_missing)?;
    let may_ignore = patterns("allow_unused", &options.allow_unused)?;
    let allowed = |rules: &[Regex], name: &str| rules.iter().any(|rule| rule.is_match(name));
    let mut report = LoadReport {
        path: checkpoint.path().to_path_buf(),
        ..LoadReport::default()
    };

    for (name, wish) in wanted {
        let Some(tensor) = tensors.get(name) else {
            match allowed(&may_miss, name) {
                true => report.allowed_missing.push(name.clone()),
                false => report.missing.push(name.clone()),
            }
            continue;
        };
        if tensor.shape != wish.shape {
            report.wrong_shape.push(ShapeMismatch {
                name: name.clone(),
                expected: wish.shape.clone(),
                found: tensor.shape.clone(),
            });
        } else if kind(tensor.dtype) != wish.kind {
            report.wrong_type.push(TypeMismatch {
                name: name.clone(),
                expected: wish.kind,
                found: tensor.dtype,
            });
        } else {
            report.loaded.push(name.clone());
        }
    }
    for (name, tensor) in tensors
        .iter()
        .filter(|(name, _)| !wanted.contains_key(*name))
    {
        if allowed(&may_ignore, name) || allowed(&may_ignore, &tensor.name) {
            report.allowed_unused.push(tensor.name.clone());
        } else {
            let (name, renamed) = (tensor.name.clone(), name.clone());
            report.unexpected.push(Unexpected { name, renamed });
        }
    }
    report.loaded.sort();
    report.missing.sort();
    report.allowed_missing.sort();
    report.allowed_unused.sort();
    report.unexpected.sort_by(|a, b| a.name.cmp(&b.name));
    report.wrong_shape.sort_by(|a, b| a.name.cmp(&b.name));
    report.wrong_type.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(report)
}

/// Kind of a type: `float`, `int` or `bool`.
fn kind(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool(_) => "bool",
        dtype if dtype.is_float() => "float",
        _ => "int",
    }
}

/// Mapper that replaces parameters by the tensors of their names.
struct Filler<'a> {
    path: ParamPath,
    tensors: &'a HashMap<String, &'a TensorEntry>,
    options: &'a LoadOptions,
    wide: Vec<Regex>,
    error: Option<Error>,
}

impl<'a> Filler<'a> {
    /// Tensor of the current parameter; `None` if there is none or after the first error.
    fn entry(&self) -> Option<&'a TensorEntry> {
        match self.error {
            None => self.tensors.get(&self.path.torch_name()).copied(),
            Some(_) => None,
        }
    }

    /// Type that the current parameter gets.
    fn float_type(&self) -> Option<DType> {
        let entry = self.entry()?;
        self.options.float_type(&self.path, entry, &self.wide)
    }

    /// Values of the current parameter, and whether they keep the file's transposed order, which
    /// `stay` decides. `None` if there is no tensor or after the first error.
    fn data(
        &mut self,
        cast: Option<DType>,
        stay: anyref_ops::StoredWeights,
    ) -> Option<(TensorData, bool)> {
        let tensor = self.entry()?;
        let transposed = self.path.is_transposed(tensor.shape.len());
        let may_stay = stay != anyref_ops::StoredWeights::None;
        let same_type = cast.is_none_or(|dtype| dtype == tensor.dtype);
        let mapped = match self.options.mapped && same_type && (may_stay || !transposed) {
            true => tensor.mapped(),
            false => Ok(None),
        };
        let data = mapped.and_then(|mapped| match mapped {
            Some(data) => Ok((data, transposed)),
            None => {
                let half = matches!(cast, Some(DType::F16 | DType::BF16));
                let all = stay == anyref_ops::StoredWeights::All;
                let stays = transposed && (all || may_stay && half);
                Ok((read(tensor, transposed && !stays, cast)?, stays))
            }
        });
        match data {
            Ok(data) => Some(data),
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

/// Reads a tensor, converts it to burn's layout if it is `transposed`, and to the type `cast` if
/// given.
fn read(tensor: &TensorEntry, transposed: bool, cast: Option<DType>) -> Result<TensorData> {
    let mut bytes = tensor.read_bytes()?;
    let mut shape = tensor.shape.clone();
    if transposed {
        bytes = transpose(&bytes, shape[0], shape[1], tensor.dtype.size());
        shape.reverse();
    }
    let data = TensorData::from_bytes_vec(bytes, shape, tensor.dtype);
    Ok(match cast {
        Some(dtype) => data.convert_dtype(dtype),
        None => data,
    })
}

impl<B: Backend> ModuleMapper<B> for Filler<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let cast = self.float_type();
        let (id, device) = (param.id, param.lazy_device());
        let Some((data, as_stored)) = self.data(cast, anyref_ops::stored_weights::<B>(&device))
        else {
            return param;
        };
        let dtype = data.dtype;
        let mut tensor = Tensor::<B, D>::from_data(data, (&device, dtype));
        if as_stored {
            tensor = tensor.swap_dims(0, 1);
        }
        param.transform_for_load(tensor, id)
    }

    fn map_int<const D: usize>(
        &mut self,
        param: Param<Tensor<B, D, Int>>,
    ) -> Param<Tensor<B, D, Int>> {
        let Some((data, _)) = self.data(Some(B::IntElem::dtype()), anyref_ops::StoredWeights::None)
        else {
            return param;
        };
        let (id, device) = (param.id, param.lazy_device());
        param.transform_for_load(Tensor::from_data(data, &device), id)
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<B, D, Bool>>,
    ) -> Param<Tensor<B, D, Bool>> {
        let Some((data, _)) = self.data(None, anyref_ops::StoredWeights::None) else {
            return param;
        };
        let (id, device) = (param.id, param.lazy_device());
        param.transform_for_load(Tensor::from_data(data, &device), id)
    }
}
