//! Modules of a crate: their files, definitions and imports.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Item, ItemUse, Lit, Meta, Token, UseTree, Visibility};

/// Source file.
pub struct File {
    /// Path from the root of the workspace.
    pub name: String,
    /// Syntax tree of the file.
    pub syntax: syn::File,
}

/// Meaning of a name in a module.
pub enum Definition {
    /// Module, by its index.
    Module(usize),
    /// Any other item, defined in the module's file.
    Item,
    /// Another path, as seen from the module.
    Import(Vec<String>),
}

/// Module: a file, or a block `mod name { … }` in one.
pub struct Module {
    /// Index of its file.
    pub file: usize,
    /// Index of its parent module.
    pub parent: Option<usize>,
    /// Names in the module; one name may be a type and a function.
    pub names: HashMap<String, Vec<Definition>>,
    /// Paths of its glob imports.
    pub globs: Vec<Vec<String>>,
}

/// Modules of a crate without test modules.
pub struct Tree {
    /// Files of the crate.
    pub files: Vec<File>,
    /// Modules of the crate; the first is the crate itself.
    pub modules: Vec<Module>,
}

impl Tree {
    /// Reads a crate from its root file.
    pub fn read(entry: &Path, workspace: &Path) -> Result<Self> {
        let mut tree = Self {
            files: Vec::new(),
            modules: Vec::new(),
        };
        let folder = entry.parent().unwrap_or(entry).to_owned();
        tree.file(entry, &folder, workspace, None)?;
        Ok(tree)
    }

    /// Adds a file whose modules lie in `folder`; returns the index of its module.
    fn file(
        &mut self,
        path: &Path,
        folder: &Path,
        workspace: &Path,
        parent: Option<usize>,
    ) -> Result<usize> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let syntax =
            syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        let name = path
            .strip_prefix(workspace)
            .unwrap_or(path)
            .display()
            .to_string();
        let index = self.files.len();
        let empty = syn::File {
            shebang: None,
            attrs: Vec::new(),
            items: Vec::new(),
        };
        self.files.push(File {
            name,
            syntax: empty,
        });
        let module = self.module(&syntax.items, index, folder, workspace, parent)?;
        self.files[index].syntax = syntax;
        Ok(module)
    }

    /// Adds a module of these items.
    fn module(
        &mut self,
        items: &[Item],
        file: usize,
        folder: &Path,
        workspace: &Path,
        parent: Option<usize>,
    ) -> Result<usize> {
        let index = self.modules.len();
        self.modules.push(Module {
            file,
            parent,
            names: HashMap::new(),
            globs: Vec::new(),
        });
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let inside = folder.join(&name);
                    let child = match &module.content {
                        Some((_, items)) => {
                            self.module(items, file, &inside, workspace, Some(index))?
                        }
                        None => {
                            let path = located(&module.attrs, folder, &name);
                            self.file(&path, &inside, workspace, Some(index))?
                        }
                    };
                    self.define(index, name, Definition::Module(child));
                }
                Item::Use(item) => self.import(index, item),
                _ => {
                    if let Some(name) = defined(item) {
                        self.define(index, name, Definition::Item);
                    }
                }
            }
        }
        Ok(index)
    }

    fn define(&mut self, module: usize, name: String, definition: Definition) {
        self.modules[module]
            .names
            .entry(name)
            .or_default()
            .push(definition);
    }

    /// Adds the names of a `use`.
    pub fn import(&mut self, module: usize, item: &ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        for leaf in leaves(&item.tree) {
            match leaf.name {
                Some(name) => self.define(module, name, Definition::Import(leaf.path)),
                None => self.modules[module].globs.push(leaf.path),
            }
        }
    }
}

/// Path of a `use`.
pub struct Leaf {
    /// Segments of the path.
    pub path: Vec<String>,
    /// Name under which it is imported; `None` for `*`.
    pub name: Option<String>,
}

/// Paths of a `use`.
pub fn leaves(tree: &UseTree) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    collect(tree, Vec::new(), &mut leaves);
    leaves
}

fn collect(tree: &UseTree, mut path: Vec<String>, leaves: &mut Vec<Leaf>) {
    // `use a::{self}` is `use a`.
    let joined = |mut path: Vec<String>, last: String| {
        if last != "self" || path.is_empty() {
            path.push(last);
        }
        path
    };
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            collect(&tree.tree, path, leaves);
        }
        UseTree::Name(tree) => {
            let path = joined(path, tree.ident.to_string());
            let name = path.last().cloned();
            leaves.push(Leaf { path, name });
        }
        UseTree::Rename(tree) => leaves.push(Leaf {
            path: joined(path, tree.ident.to_string()),
            name: Some(tree.rename.to_string()),
        }),
        UseTree::Glob(_) => leaves.push(Leaf { path, name: None }),
        UseTree::Group(group) => {
            for tree in &group.items {
                collect(tree, path.clone(), leaves);
            }
        }
    }
}

/// Returns whether other modules can import an item through this `use`.
pub fn is_reexport(item: &ItemUse) -> bool {
    !matches!(item.vis, Visibility::Inherited)
}

/// Returns whether an item has `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Meta>().is_ok_and(|condition| {
                condition.path().is_ident("test")
                    || matches!(&condition, Meta::List(all) if all.path.is_ident("all")
                        && all
                            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                            .is_ok_and(|parts| parts.iter().any(|part| part.path().is_ident("test"))))
            })
    })
}

/// File of the module `name` whose parent's modules lie in `folder`.
fn located(attributes: &[Attribute], folder: &Path, name: &str) -> PathBuf {
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("path")
            && let Expr::Lit(ExprLit {
                lit: Lit::Str(path),
                ..
            }) = &pair.value
        {
            return folder.join(path.value());
        }
    }
    let file = folder.join(format!("{name}.rs"));
    match file.is_file() {
        true => file,
        false => folder.join(name).join("mod.rs"),
    }
}

fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Attributes of an item.
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
