//! The parts of an assembly, opened in the form that they are published in.

use super::assembly::Assembly;
use super::parts::Parts;
use super::sa2va::Sa2va;
use crate::Result;
use crate::official::{Kind, Published, is_sa2va};

/// The opened parts of an assembly.
pub(super) enum OpenedParts {
    /// Parts that may come from several places.
    Separate(Box<Parts>),
    /// Sa2VA, which carries all its parts.
    Sa2va(Box<Sa2va>),
}

impl OpenedParts {
    /// Opens the parts of an assembly.
    ///
    /// # Errors
    /// When a part is missing, damaged, or not of its kind.
    pub(super) fn open(assembly: &Assembly) -> Result<Self> {
        if is_sa2va(&assembly.llm) {
            let llm = Published::open_as(&assembly.llm, "Sa2VA", |kind| kind == Kind::Sa2va)?;
            return Self::open_beside(llm, assembly);
        }
        Ok(Self::Separate(Box::new(Parts::open(assembly)?)))
    }

    /// Opens the parts of an assembly except for its language model, which is already open.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(super) fn open_beside(llm: Published, assembly: &Assembly) -> Result<Self> {
        Ok(match llm.kind {
            Some(Kind::Sa2va) => Self::Sa2va(Box::new(Sa2va::of(llm, assembly)?)),
            _ => Self::Separate(Box::new(Parts::open_beside(llm, assembly)?)),
        })
    }
}
