//! Cycles of a directed graph.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tarjan_scc;
use petgraph::prelude::DiGraphMap;

/// Names that a file takes from another, by the indices of both files.
pub type Edges = BTreeMap<(usize, usize), BTreeSet<String>>;

/// Sets of files that reach each other (strongly connected components), in a stable order.
pub fn circles(edges: &Edges) -> Vec<BTreeSet<usize>> {
    let graph: DiGraphMap<usize, ()> = DiGraphMap::from_edges(edges.keys().copied());
    let mut circles: Vec<BTreeSet<usize>> = tarjan_scc(&graph)
        .into_iter()
        .filter(|component| component.len() > 1)
        .map(|component| component.into_iter().collect())
        .collect();
    circles.sort();
    circles
}
