//! Options of loading.

use burn::tensor::DType;
use regex::Regex;

use crate::WeightType;
use crate::checkpoint::TensorEntry;
use crate::param_path::ParamPath;

/// Entry of an import table: a regular expression on names of a published checkpoint, and its
/// replacement (`${1}` is a group) towards the names of a module. Entries are applied in order.
pub type Rename = (&'static str, &'static str);

/// How [`load_module`](crate::load_module) matches tensors and parameters.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Only tensors whose names start so are taken, without this beginning. The others are not
    /// counted as unexpected.
    pub prefix: Option<String>,
    /// Regular expressions and their replacements (`${1}` is a group), applied in order to every
    /// name after the prefix is removed, each to what the one before left.
    pub rename: Vec<(String, String)>,
    /// Type that float parameters get; `None` keeps the file's, which may differ from tensor to
    /// tensor.
    pub cast: Option<DType>,
    /// Type in memory of the matrices of linear layers instead: the weights of `Linear`,
    /// `in_proj_weight` and `embed_tokens`. They are most of a model's memory, and
    /// [`anyref_ops::linear`](anyref_ops::linear) takes them in another type than its input. `None`
    /// treats them as the rest.
    pub matrices: Option<WeightType>,
    /// Whether what needs no conversion may be used where it lies in its file, in the file's order.
    /// Sums of products then have another order than with a copy in burn's.
    pub mapped: bool,
    /// Parameters (in PyTorch's names) that get f32 whatever the other fields say.
    pub wide: Vec<String>,
    /// Parameters (in PyTorch's names) that may be missing and then keep their values.
    pub allow_missing: Vec<String>,
    /// Tensors (by their name before or after renaming) that may go unused.
    pub allow_unused: Vec<String>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            prefix: None,
            rename: Vec::new(),
            cast: Some(DType::F32),
            matrices: None,
            mapped: true,
            wide: Vec::new(),
            allow_missing: Vec::new(),
            allow_unused: Vec::new(),
        }
    }
}

impl LoadOptions {
    /// Type that a float parameter gets, with the expressions of [`wide`](Self::wide) compiled;
    /// `None` keeps the file's.
    pub(crate) fn float_type(
        &self,
        path: &ParamPath,
        tensor: &TensorEntry,
        wide: &[Regex],
    ) -> Option<DType> {
        let name = path.torch_name();
        if wide.iter().any(|rule| rule.is_match(&name)) {
            return Some(DType::F32);
        }
        match self.matrices {
            Some(dtype) if path.is_matrix(tensor.shape.len()) => Some(dtype.of(tensor.dtype)),
            _ => self.cast,
        }
    }

    /// Sets [`prefix`](Self::prefix).
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Adds a rule to [`rename`](Self::rename).
    pub fn with_rename(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.rename.push((from.into(), to.into()));
        self
    }

    /// Adds the rules of an import table to [`rename`](Self::rename).
    pub fn with_renames(self, table: &[Rename]) -> Self {
        table
            .iter()
            .fold(self, |options, &(from, to)| options.with_rename(from, to))
    }

    /// Sets [`cast`](Self::cast).
    pub fn with_cast(mut self, cast: Option<DType>) -> Self {
        self.cast = cast;
        self
    }

    /// Sets [`matrices`](Self::matrices).
    pub fn with_matrices(mut self, matrices: Option<WeightType>) -> Self {
        self.matrices = matrices;
        self
    }

    /// Sets [`mapped`](Self::mapped).
    pub fn with_mapped(mut self, mapped: bool) -> Self {
        self.mapped = mapped;
        self
    }

    /// Adds a pattern to [`wide`](Self::wide).
    pub fn with_wide(mut self, pattern: impl Into<String>) -> Self {
        self.wide.push(pattern.into());
        self
    }

    /// Adds a pattern to [`allow_missing`](Self::allow_missing).
    pub fn with_allow_missing(mut self, pattern: impl Into<String>) -> Self {
        self.allow_missing.push(pattern.into());
        self
    }

    /// Adds a pattern to [`allow_unused`](Self::allow_unused).
    pub fn with_allow_unused(mut self, pattern: impl Into<String>) -> Self {
        self.allow_unused.push(pattern.into());
        self
    }

    /// Adds all `patterns` to [`allow_unused`](Self::allow_unused).
    pub fn with_all_unused(self, patterns: &[&str]) -> Self {
        patterns
            .iter()
            .fold(self, |options, &pattern| options.with_allow_unused(pattern))
    }
}
