//! Imports of a crate's files: every path that names an item of another file.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ExprCall, Item, ItemUse, Macro, Path};

use super::graph::Edges;
use super::modules::{Definition, Tree, attributes, is_reexport, is_test, leaves};

/// Names that each file takes from each other file. Re-exports and `mod name;` take nothing; a
/// re-exported name is taken from the file that defines it.
pub fn edges(tree: &Tree) -> Edges {
    let mut visitor = Visitor {
        tree,
        edges: Edges::new(),
        module: 0,
        file: 0,
    };
    for file in 0..tree.files.len() {
        visitor.file = file;
        // The first module of a file is the file itself.
        if let Some(module) = tree.modules.iter().position(|module| module.file == file) {
            visitor.module = module;
            visitor.visit_file(&tree.files[file].syntax);
        }
    }
    visitor.edges
}

/// Target of a path.
#[derive(Clone, Copy)]
enum Target {
    Module(usize),
    /// Item of this file.
    Item(usize),
}

impl Tree {
    /// Targets of a path as seen from `module`.
    fn resolve(
        &self,
        module: usize,
        path: &[String],
        seen: &mut HashSet<(usize, String)>,
    ) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else {
            return Vec::new();
        };
        let start = match first.as_str() {
            "crate" => vec![Target::Module(0)],
            "self" => vec![Target::Module(module)],
            "super" => self.modules[module]
                .parent
                .map(Target::Module)
                .into_iter()
                .collect(),
            name => self.lookup(module, name, seen),
        };
        rest.iter().fold(start, |targets, name| {
            targets
                .into_iter()
                .flat_map(|target| match target {
                    Target::Module(inside) if name == "super" => self.modules[inside]
                        .parent
                        .map(Target::Module)
                        .into_iter()
                        .collect(),
                    Target::Module(inside) => self.lookup(inside, name, seen),
                    Target::Item(_) => Vec::new(),
                })
                .collect()
        })
    }

    /// Targets of a name in a module.
    fn lookup(
        &self,
        module: usize,
        name: &str,
        seen: &mut HashSet<(usize, String)>,
    ) -> Vec<Target> {
        if !seen.insert((module, name.to_owned())) {
            return Vec::new();
        }
        let here = &self.modules[module];
        let mut targets = Vec::new();
        for definition in here.names.get(name).into_iter().flatten() {
            match definition {
                Definition::Module(index) => targets.push(Target::Module(*index)),
                Definition::Item => targets.push(Target::Item(here.file)),
                Definition::Import(path) => targets.extend(self.resolve(module, path, seen)),
            }
        }
        if targets.is_empty() {
            for glob in &here.globs {
                for target in self.resolve(module, glob, seen) {
                    match target {
                        Target::Module(inside) => targets.extend(self.lookup(inside, name, seen)),
                        Target::Item(_) => {}
                    }
                }
            }
        }
        seen.remove(&(module, name.to_owned()));
        targets
    }
}

struct Visitor<'a> {
    tree: &'a Tree,
    edges: Edges,
    /// Module whose items are visited.
    module: usize,
    file: usize,
}

impl Visitor<'_> {
    /// Records the files that a path leads to, up to its first item: later segments are variants
    /// and associated items.
    fn take(&mut self, path: &[String]) {
        for length in 1..=path.len() {
            let (start, name) = (&path[..length], &path[length - 1]);
            let targets = self.tree.resolve(self.module, start, &mut HashSet::new());
            // A module may share its name with a function, which is always the end of a path.
            let follows = length < path.len();
            let is_module = |target: &Target| matches!(target, Target::Module(_));
            if follows && targets.iter().any(is_module) {
                continue;
            }
            let mut found = false;
            for target in targets {
                if let Target::Item(file) = target {
                    found = true;
                    if file != self.file {
                        let names = self.edges.entry((self.file, file)).or_default();
                        names.insert(name.clone());
                    }
                }
            }
            if found {
                return;
            }
        }
    }

    /// Records the paths among the tokens of a macro call.
    fn take_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        // Number of colons since the last word of the path.
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.take_words(&path);
                        path.clear();
                    }
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    self.take_words(&path);
                    path.clear();
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.take_tokens(group.stream());
                    }
                }
            }
        }
        self.take_words(&path);
    }

    /// Records a path, unless it is a single lower-case word: most of them are variables.
    fn take_words(&mut self, path: &[String]) {
        if path.len() > 1
            || path
                .first()
                .is_some_and(|word| word.starts_with(char::is_uppercase))
        {
            self.take(path);
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        if let Item::Mod(module) = item {
            let child = self.tree.modules[self.module]
                .names
                .get(&module.ident.to_string());
            let child = child
                .into_iter()
                .flatten()
                .find_map(|definition| match definition {
                    Definition::Module(index) => Some(*index),
                    _ => None,
                });
            if let (Some(child), Some(_)) = (child, &module.content) {
                let around = std::mem::replace(&mut self.module, child);
                visit::visit_item_mod(self, module);
                self.module = around;
            }
            return;
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() && !is_reexport(item) {
            for leaf in leaves(&item.tree).iter().filter(|leaf| leaf.name.is_some()) {
                self.take(&leaf.path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.leading_colon.is_none() {
            let words: Vec<String> = path
                .segments
                .iter()
                .map(|part| part.ident.to_string())
                .collect();
            self.take_words(&words);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let syn::Expr::Path(function) = &*call.func
            && let Some(name) = function.path.get_ident()
        {
            self.take(&[name.to_string()]);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(name) = call.path.get_ident() {
            self.take(&[name.to_string()]);
        }
        self.take_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    // Names in attributes, as in `#[serde(default = "crate::a::b")]`.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            for token in list.tokens.clone() {
                if let TokenTree::Literal(literal) = token
                    && let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string())
                    && let Ok(path) = text.parse::<Path>()
                {
                    let words: Vec<String> = path
                        .segments
                        .iter()
                        .map(|part| part.ident.to_string())
                        .collect();
                    self.take(&words);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::circles::graph::circles;

    /// Edges of a crate with these files, as `from -> to: names`, and its number of cycles.
    fn found(files: &[(&str, &str)]) -> (Vec<String>, usize) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let entry = folder.path().join(files[0].0);
        let tree = Tree::read(&entry, folder.path()).unwrap();
        let edges = edges(&tree);
        let shown = edges.iter().map(|((from, to), names)| {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let (from, to) = (&tree.files[*from].name, &tree.files[*to].name);
            format!("{from} -> {to}: {}", names.join(" "))
        });
        (shown.collect(), circles(&edges).len())
    }

    #[test]
    fn a_circle_through_a_module_file_is_found() {
        let (edges, circles) = found(&[
            ("lib.rs", "mod a; mod c;"),
            ("a/mod.rs", "mod b; pub struct A; fn f() { b::g(); }"),
            ("a/b.rs", "use super::A; pub fn g() -> A { A }"),
            ("c.rs", "use crate::a::A;"),
        ]);
        assert_eq!(
            edges,
            [
                "a/mod.rs -> a/b.rs: g",
                "a/b.rs -> a/mod.rs: A",
                "c.rs -> a/mod.rs: A"
            ]
        );
        assert_eq!(circles, 1);
    }

    #[test]
    fn a_reexport_is_followed_and_imports_nothing() {
        let (edges, circles) = found(&[
            (
                "lib.rs",
                "pub mod a; pub mod b; pub use a::*; pub use b::{B as Other, Kind};",
            ),
            ("a.rs", "use crate::Other; pub struct A { other: Other }"),
            ("b.rs", "pub struct B; pub enum Kind { One }"),
        ]);
        assert_eq!(edges, ["a.rs -> b.rs: Other"]);
        assert_eq!(circles, 0);
    }

    #[test]
    fn paths_in_bodies_macros_attributes_and_globs_count() {
        let (edges, circles) = found(&[
            ("lib.rs", "mod a; mod b; mod c; mod d { pub mod e; }"),
            (
                "a.rs",
                "use crate::b::*; fn f() { assert_eq!(crate::c::C::new(), 1); g(); }\n\
                 struct S { #[serde(default = \"crate::d::e::one\")] s: u8 }",
            ),
            (
                "b.rs",
                "pub fn g() { let c = std::mem::take(&mut super::c::FLAG); }",
            ),
            (
                "c.rs",
                "pub struct C; pub static FLAG: u8 = 0; macro_rules! m { () => {} } m!();",
            ),
            ("d/e.rs", "pub fn one() -> u8 { crate::a::f(); 1 }"),
        ]);
        assert_eq!(
            edges,
            [
                "a.rs -> b.rs: g",
                "a.rs -> c.rs: C",
                "a.rs -> d/e.rs: one",
                "b.rs -> c.rs: FLAG",
                "d/e.rs -> a.rs: f",
            ]
        );
        assert_eq!(circles, 1);
    }

    #[test]
    fn a_function_and_a_module_of_one_name_are_told_apart() {
        let (edges, _) = found(&[
            ("lib.rs", "mod a; mod b; fn a() {} fn f() { a(); }"),
            ("a.rs", "pub struct A;"),
            ("b.rs", "use super::a::A; fn f() -> A { crate::a::A }"),
        ]);
        assert_eq!(edges, ["b.rs -> a.rs: A"]);
    }

    #[test]
    fn tests_and_other_crates_import_nothing() {
        let (edges, _) = found(&[
            ("lib.rs", "mod a; mod b;"),
            (
                "a.rs",
                "use burn::b::B; pub struct A;\n\
                 #[cfg(test)] mod tests { use crate::b::B; }\n\
                 #[cfg(all(test, feature = \"flex\"))] use crate::b::B;",
            ),
            ("b.rs", "pub struct B; fn f(a: crate::a::A) {}"),
        ]);
        assert_eq!(edges, ["b.rs -> a.rs: A"]);
    }
}
