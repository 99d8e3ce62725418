//! Looking for one event while a tree is made: its place, or those of its neighbours.

use schemas::id::{EventHash, ProjectId};

use crate::leaf::Leaf;
use crate::path::Track;
use crate::proof::Found;
use crate::tree::{NotPushed, Root, Tree};

/// A tree that remembers the place of one event, or of those around it. O(log n) memory, one pass.
#[derive(Debug, Clone)]
pub struct Prover {
    sought: (ProjectId, EventHash),
    tree: Tree,
    leaves: u64,
    left: Option<Track>,
    found: Option<Track>,
    right: Option<Track>,
}

impl Prover {
    /// Looks for the event with this hash.
    #[must_use]
    pub fn new(project: ProjectId, event: EventHash) -> Self {
        let tree = Tree::new();
        Self { sought: (project, event), tree, leaves: 0, left: None, found: None, right: None }
    }

    /// Pushes the next leaf.
    ///
    /// # Errors
    /// As [`Tree::push`]. There is no proof to be had then.
    pub fn push(&mut self, leaf: &Leaf) -> Result<(), NotPushed> {
        let (place, at) = (leaf.place(), self.tree.width());
        if place < self.sought {
            match &mut self.left {
                Some(left) => left.restart(*leaf, self.leaves, at),
                None => self.left = Some(Track::start(*leaf, self.leaves, at)),
            }
        } else if place == self.sought {
            self.found = Some(Track::start(*leaf, self.leaves, at));
        } else if self.right.is_none() {
            self.right = Some(Track::start(*leaf, self.leaves, at));
        }
        let Self { tree, left, found, right, .. } = self;
        tree.push_watched(leaf, |joined| {
            [&mut *left, &mut *found, &mut *right].into_iter().flatten().for_each(|track| track.join(joined));
        })?;
        self.leaves += 1;
        Ok(())
    }

    /// The root, and the event or its absence; `None` without leaves.
    #[must_use]
    pub fn finish(self) -> Option<(Root, Found)> {
        let Self { tree, mut left, mut found, mut right, .. } = self;
        let root = tree.finish_watched(|joined| {
            [&mut left, &mut found, &mut right].into_iter().flatten().for_each(|track| track.join(joined));
        })?;
        let found = match found {
            Some(found) => Found::Present(found.place()),
            None => Found::Absent { left: left.map(Track::place), right: right.map(Track::place) },
        };
        Some((root, found))
    }
}
