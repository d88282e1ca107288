//! The entries of a map during parsing.

use std::collections::BTreeMap;

use terrace_artifact::Text;

use crate::node::Node;

/// The entries of a map, with an index for maps that have many.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) list: Vec<(Text, Node)>,
    places: BTreeMap<Text, usize>,
}

impl Entries {
    /// The number of entries that are searched without the index.
    const FEW: usize = 32;

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let few = &self.list[..self.list.len().min(Entries::FEW)];
        let place = few.iter().position(|(k, _)| k == key);
        let place = place.or_else(|| self.places.get(key).copied())?;
        self.list.get(place).map(|(_, node)| node)
    }

    pub(super) fn push(&mut self, key: Text, node: Node) {
        if self.list.len() >= Entries::FEW {
            self.places.insert(key.clone(), self.list.len());
        }
        self.list.push((key, node));
    }
}
