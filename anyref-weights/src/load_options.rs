//! Options of loading.

use burn::tensor::DType;
use regex::Regex;

use crate::WeightType;
use crate::checkpoint::TensorEntry;
use crate::param_path::ParamPath;

/// Entry of an import table: a regular expression on names of a published checkpoint, and its
/// replacement (`${1}` is a group), which leads towards the names of a module. Entries are applied
/// in order.
pub type Rename = (&'static str, &'static str);

/// Matching of tensors and parameters in [`load_module`](crate::load_module).
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Prefix of the tensors to load, which is removed from their names. Other tensors do not count
    /// as unexpected.
    pub prefix: Option<String>,
    /// Regular expressions and their replacements (`${1}` is a group), applied in order to every
    /// name after the prefix is removed, each to the previous result.
    pub rename: Vec<(String, String)>,
    /// Type of float parameters; `None` keeps the file's, which may differ between tensors.
    pub cast: Option<DType>,
    /// Type in memory of the matrices of linear layers: the weights of `Linear`, `in_proj_weight`
    /// and `embed_tokens`. They take most of a model's memory, and
    /// [`anyref_ops::linear`](anyref_ops::linear) accepts them in another type than its input.
    /// `None` applies [`cast`](Self::cast) to them too.
    pub matrices: Option<WeightType>,
    /// Uses values that need no conversion in place in their mapped file, in the file's order. Sums
    /// of products are then added in another order than with a copy in burn's layout.
    pub mapped: bool,
    /// Patterns of parameters (by PyTorch's names) that are f32 regardless of the other fields.
    pub wide: Vec<String>,
    /// Patterns of parameters (by PyTorch's names) that may be missing and then keep their values.
    pub allow_missing: Vec<String>,
    /// Patterns of tensors (by their name before or after renaming) that may be unused.
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
    /// Type of a float parameter, given the compiled expressions of [`wide`](Self::wide); `None`
    /// keeps the file's.
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
