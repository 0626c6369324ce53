//! Report of a load, tensor by tensor.

use std::fmt;
use std::path::PathBuf;

use burn::tensor::DType;

/// Maximum names listed of each kind before `and n more`.
const SHOWN: usize = 4;

/// Tensor of the checkpoint without a matching parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexpected {
    /// Name in the checkpoint.
    pub name: String,
    /// Name after prefix and rename rules.
    pub renamed: String,
}

/// Tensor whose shape differs from its parameter's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// Parameter name.
    pub name: String,
    /// Shape of the parameter, in PyTorch's layout.
    pub expected: Vec<usize>,
    /// Shape in the checkpoint.
    pub found: Vec<usize>,
}

/// Tensor whose type cannot fill its parameter, such as integers for a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeMismatch {
    /// Parameter name.
    pub name: String,
    /// Kind of the parameter: `float`, `int` or `bool`.
    pub expected: &'static str,
    /// Type in the checkpoint.
    pub found: DType,
}

/// Outcome of [`load_module`](crate::load_module). Parameter names are PyTorch's (`norm.weight`,
/// not `norm.gamma`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Path of the checkpoint.
    pub path: PathBuf,
    /// Parameters that were filled.
    pub loaded: Vec<String>,
    /// Parameters that the checkpoint lacks.
    pub missing: Vec<String>,
    /// Tensors without a matching parameter.
    pub unexpected: Vec<Unexpected>,
    /// Tensors whose shape differs from their parameter's.
    pub wrong_shape: Vec<ShapeMismatch>,
    /// Tensors whose kind differs from their parameter's.
    pub wrong_type: Vec<TypeMismatch>,
    /// Missing parameters that `allow_missing` accepts; they keep their values.
    pub allowed_missing: Vec<String>,
    /// Tensors that `allow_unused` accepts.
    pub allowed_unused: Vec<String>,
}

impl LoadReport {
    /// Returns whether every difference is one that the options allow.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.wrong_shape.is_empty()
            && self.wrong_type.is_empty()
    }

    /// Unexpected name that is most similar to a missing one.
    fn suggestion(&self, missing: &str) -> Option<&str> {
        nearest(missing, self.unexpected.iter().map(|u| u.renamed.as_str()))
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} tensors loaded",
            self.path.display(),
            self.loaded.len()
        )?;
        if self.is_complete() {
            return Ok(());
        }
        list(f, "missing", &self.missing, |f, name| {
            write!(f, "`{name}`")?;
            match self.suggestion(name) {
                Some(near) => write!(f, " (did you mean `{near}`?)"),
                None => Ok(()),
            }
        })?;
        list(f, "unexpected", &self.unexpected, |f, entry| {
            write!(f, "`{}`", entry.name)?;
            match entry.name == entry.renamed {
                true => Ok(()),
                false => write!(f, " (as `{}`)", entry.renamed),
            }
        })?;
        list(f, "wrong shape", &self.wrong_shape, |f, entry| {
            write!(
                f,
                "`{}` {:?} instead of {:?}",
                entry.name, entry.found, entry.expected
            )
        })?;
        list(f, "wrong type", &self.wrong_type, |f, entry| {
            write!(
                f,
                "`{}` {} instead of {}",
                entry.name,
                entry.found.name(),
                entry.expected
            )
        })?;
        write!(
            f,
            "; check that checkpoint and model configuration belong together"
        )
    }
}

/// Writes `; n kind: a, b and m more`.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    items: &[T],
    show: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(f, "; {} {kind}: ", items.len())?;
    for (i, item) in items.iter().take(SHOWN).enumerate() {
        if i > 0 {
            write!(f, ", ")?;
        }
        show(f, item)?;
    }
    match items.len().checked_sub(SHOWN) {
        Some(more @ 1..) => write!(f, " and {more} more"),
        _ => Ok(()),
    }
}

/// Most similar candidate to `name`, if it shares most of it.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let (score, best) = candidates
        .map(|candidate| (similarity(name, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.6).then_some(best)
}

/// Share of bytes in the common prefix and suffix: names of tensors differ in one inserted, dropped
/// or changed segment.
fn similarity(a: &str, b: &str) -> f64 {
    let longest = a.len().max(b.len()).max(1);
    let head = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let rest = a.len().min(b.len()) - head;
    let tail = a
        .bytes()
        .rev()
        .zip(b.bytes().rev())
        .take(rest)
        .take_while(|(x, y)| x == y)
        .count();
    (head + tail) as f64 / longest as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_name_with_one_other_segment() {
        let names = [
            "layers.1.mlp.fc1.weight",
            "layers.0.mlp.fc2.weight",
            "head.bias",
        ];
        let near = nearest("model.layers.0.mlp.fc2.weight", names.into_iter());
        assert_eq!(near, Some("layers.0.mlp.fc2.weight"));
        assert_eq!(nearest("token_embedding", names.into_iter()), None);
    }

    #[test]
    fn display_is_one_short_line() {
        let report = LoadReport {
            path: "w.safetensors".into(),
            missing: (0..9).map(|i| format!("a.{i}.weight")).collect(),
            unexpected: vec![Unexpected {
                name: "x.a.3.weight".into(),
                renamed: "b.3.weight".into(),
            }],
            ..LoadReport::default()
        };
        let text = report.to_string();
        assert!(!text.contains('\n'));
        assert!(
            text.contains("9 missing") && text.contains("and 5 more"),
            "{text}"
        );
        assert!(
            text.contains("`a.3.weight` (did you mean `b.3.weight`?)"),
            "{text}"
        );
        assert!(text.contains("`x.a.3.weight` (as `b.3.weight`)"), "{text}");
    }
}
