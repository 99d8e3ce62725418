//! The Merkle sum tree of an hour. RFC 6962's shape and separation of domains; inner nodes hash the counts and sums of
//! both children as well. With the sum alone, two children could each have another quantity under the same hash.

use schemas::id::{EventHash, ProjectId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hex::Hash;
use crate::leaf::Leaf;

/// What stands before the bytes of two subtrees.
const DOMAIN: u8 = 1;

/// What a tree, or a subtree, is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "(u64, u64, Hash)", from = "(u64, u64, Hash)")]
pub struct Root {
    /// Leaves.
    pub events: u64,
    /// The sum of the leaves' quantities.
    pub quantity: u64,
    /// Of the leaf, or of both subtrees.
    pub hash: Hash,
}

impl From<Root> for (u64, u64, Hash) {
    fn from(root: Root) -> Self {
        (root.events, root.quantity, root.hash)
    }
}

impl From<(u64, u64, Hash)> for Root {
    fn from((events, quantity, hash): (u64, u64, Hash)) -> Self {
        Self { events, quantity, hash }
    }
}

impl Root {
    /// Of a tree with this leaf alone.
    #[must_use]
    pub fn of_leaf(leaf: &Leaf) -> Self {
        Self { events: 1, quantity: leaf.quantity, hash: leaf.hash() }
    }

    /// Of two subtrees that stand side by side; `None` if a sum is beyond 64 bits.
    #[must_use]
    pub fn of_two(left: &Self, right: &Self) -> Option<Self> {
        let events = left.events.checked_add(right.events)?;
        let quantity = left.quantity.checked_add(right.quantity)?;
        let mut bytes = [0; 97];
        bytes[0] = DOMAIN;
        left.write(&mut bytes[1..49]);
        right.write(&mut bytes[49..]);
        Some(Self { events, quantity, hash: Hash(Sha256::digest(bytes).into()) })
    }

    fn write(&self, bytes: &mut [u8]) {
        bytes[..8].copy_from_slice(&self.events.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.quantity.to_be_bytes());
        bytes[16..].copy_from_slice(&self.hash.0);
    }
}

/// Why a leaf is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPushed {
    /// It stands before the leaf that was pushed last.
    #[error("the event is not behind the one before it: events are in the order of project and event hash")]
    OutOfOrder,
    /// Its project and event hash are those of the leaf that was pushed last.
    #[error("the event is there twice")]
    Twice,
    /// The sum of quantities is beyond 64 bits.
    #[error("the sum of quantities is beyond 64 bits")]
    Overflow,
}

/// A tree that leaves are pushed onto, in their order.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    last: Option<(ProjectId, EventHash)>,
    quantity: u64,
    /// Full subtrees from left to right, each smaller than the one before.
    subtrees: Vec<Root>,
}

/// Two subtrees become one: the place of the left one among all, the left one and the right one.
pub(crate) type Joined<'a> = (usize, &'a Root, &'a Root);

impl Tree {
    /// Without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Pushes the next leaf.
    ///
    /// # Errors
    /// If it is not behind the one before, or the sum is beyond 64 bits. The tree is as it was then.
    pub fn push(&mut self, leaf: &Leaf) -> Result<(), NotPushed> {
        self.push_watched(leaf, |_| ())
    }

    /// The root; `None` without leaves.
    #[must_use]
    pub fn finish(self) -> Option<Root> {
        self.finish_watched(|_| ())
    }

    /// How many subtrees there are: the place at which the next leaf will stand, before it is joined with others.
    pub(crate) fn width(&self) -> usize {
        self.subtrees.len()
    }

    /// [`Self::push`], and `watch` sees which subtrees become one.
    pub(crate) fn push_watched(
        &mut self,
        leaf: &Leaf,
        mut watch: impl FnMut(Joined<'_>),
    ) -> Result<(), NotPushed> {
        let place = leaf.place();
        match self.last {
            Some(last) if place < last => return Err(NotPushed::OutOfOrder),
            Some(last) if place == last => return Err(NotPushed::Twice),
            Some(_) | None => {}
        }
        self.quantity = self.quantity.checked_add(leaf.quantity).ok_or(NotPushed::Overflow)?;
        self.last = Some(place);
        self.subtrees.push(Root::of_leaf(leaf));
        while let [.., left, right] = self.subtrees.as_slice()
            && left.events == right.events
        {
            if !self.join(&mut watch) {
                break;
            }
        }
        Ok(())
    }

    /// [`Self::finish`], and `watch` sees which subtrees become one.
    pub(crate) fn finish_watched(mut self, mut watch: impl FnMut(Joined<'_>)) -> Option<Root> {
        while self.join(&mut watch) {}
        self.subtrees.pop()
    }

    /// Makes one of the two last subtrees. No sum is beyond 64 bits: that of all leaves is not.
    fn join(&mut self, watch: &mut impl FnMut(Joined<'_>)) -> bool {
        let [.., left, right] = self.subtrees.as_slice() else { return false };
        let Some(both) = Root::of_two(left, right) else { return false };
        watch((self.subtrees.len() - 2, left, right));
        self.subtrees.truncate(self.subtrees.len() - 2);
        self.subtrees.push(both);
        true
    }
}
