//! From a leaf up to the root.

use serde::{Deserialize, Serialize};

use crate::leaf::Leaf;
use crate::tree::{Joined, Root};

/// A leaf, and where it stands in its tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The leaf.
    pub leaf: Leaf,
    /// How many leaves stand before it.
    pub index: u64,
    /// The subtrees that its own is joined with, from the leaf up to the root.
    pub path: Vec<Root>,
}

impl Place {
    /// The root of a tree with `events` leaves that has this leaf in this place; `None` if there is no such tree.
    ///
    /// How many leaves each subtree has follows from `events` and the index, and is compared: what is taken for a leaf
    /// can't be a subtree, and no subtree has more leaves than it has room for.
    #[must_use]
    pub fn root(&self, events: u64) -> Option<Root> {
        let mut joins = joins(self.index, events)?;
        let mut root = Root::of_leaf(&self.leaf);
        for sibling in &self.path {
            let join = joins.pop()?;
            if sibling.events != join.events {
                return None;
            }
            let (left, right) = if join.is_left { (sibling, &root) } else { (&root, sibling) };
            root = Root::of_two(left, right)?;
        }
        joins.is_empty().then_some(root)
    }
}

/// A subtree on the way: on which side it is, and how many leaves it has.
struct Join {
    is_left: bool,
    events: u64,
}

/// From the root down to the leaf, how each subtree is split: the left part of n leaves has the largest power of two
/// below n (RFC 6962, section 2.1).
fn joins(mut index: u64, mut events: u64) -> Option<Vec<Join>> {
    if index >= events {
        return None;
    }
    let mut joins = Vec::new();
    while events > 1 {
        let left = 1 << (events - 1).ilog2();
        if index < left {
            joins.push(Join { is_left: false, events: events - left });
            events = left;
        } else {
            joins.push(Join { is_left: true, events: left });
            (index, events) = (index - left, events - left);
        }
    }
    Some(joins)
}

/// A place whose path is still being made, as its tree grows.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    place: Place,
    /// Of the subtree that has the leaf, among those of the tree.
    at: usize,
}

impl Track {
    /// Of the leaf that will stand at `at`, before it is joined with others.
    pub(crate) fn start(leaf: Leaf, index: u64, at: usize) -> Self {
        Self { place: Place { leaf, index, path: Vec::new() }, at }
    }

    /// The same for another leaf, in the memory that is there.
    pub(crate) fn restart(&mut self, leaf: Leaf, index: u64, at: usize) {
        (self.place.leaf, self.place.index, self.at) = (leaf, index, at);
        self.place.path.clear();
    }

    pub(crate) fn join(&mut self, (at, left, right): Joined<'_>) {
        if self.at == at {
            self.place.path.push(*right);
        } else if self.at == at + 1 {
            self.place.path.push(*left);
            self.at = at;
        }
    }

    pub(crate) fn place(self) -> Place {
        self.place
    }
}
