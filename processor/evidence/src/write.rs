//! Writing a pack.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemas::content::ContentHash;
use serde::Serialize;

use crate::hex::{Hash, KeyId};
use crate::leaf::Leaf;
use crate::pack::{Contents, End, Header, HeaderForm, ROW_BYTES_MAX};
use crate::signed::Signed;
use crate::tree::{NotPushed, Tree};

/// What stands with an event's leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// Nothing: in a pack of hashes, or for an event whose contents have no hash.
    None,
    /// The bytes whose hash is the leaf's content hash: `RowBinary`, without the hash itself.
    Row(&'a [u8]),
    /// The row was erased; the event stays provable by its hash. In packs of rows alone.
    Erased,
}

/// Why a pack can't be written. What was written of it is no pack: it has no end.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// It is of no whole hour.
    #[error("a pack is of whole hours")]
    Hours,
    /// A seal of another tenant.
    #[error("seal {0} is another tenant's")]
    Tenant(u64),
    /// The header does not name the key.
    #[error("seal {0} is signed with key {1}, which the pack does not name")]
    Key(u64, KeyId),
    /// Seals follow one another.
    #[error("seal {0} does not continue the one before it")]
    Chain(u64),
    /// A leaf without a seal, or of an hour that the pack is not of.
    #[error("an event has no seal in the pack's hours")]
    Outside,
    /// Order, or sum.
    #[error(transparent)]
    Leaf(#[from] NotPushed),
    /// The body is none that the leaf can have in such a pack.
    #[error("an event's row is missing, too long, not the one that was hashed, or has no place in the pack")]
    Row,
    /// The leaves are not those of the seal.
    #[error("the events of seal {0} are not those that it was made of")]
    Root(u64),
    /// The pack can't be written.
    #[error("the pack can't be written")]
    Io(#[from] io::Error),
}

/// Writes a pack: the header, each seal and behind it its leaves, the end. It refuses what [`crate::verify`] would,
/// except a wrong signature, and what rows say of themselves.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    header: Header,
    /// The seal that was written last.
    last: Option<Signed>,
    /// Of its leaves.
    tree: Tree,
    end: End,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// If the pack is of no whole hour, or can't be written.
    pub fn new(mut out: W, header: Header) -> Result<Self, NotWritten> {
        if !header.has_hours() {
            return Err(NotWritten::Hours);
        }
        write_json(&mut out, &HeaderForm::from(&header))?;
        let end = End { seals: 0, events: 0, quantity: 0, head: Hash::NONE };
        Ok(Self { out, header, last: None, tree: Tree::new(), end, line: Vec::new() })
    }

    /// Writes a seal. Its leaves follow if its hour is the pack's; if not, the seal is there for the chain alone.
    ///
    /// # Errors
    /// If the leaves before are not those of their seal, this one does not continue that, or is another tenant's.
    pub fn seal(&mut self, signed: &Signed) -> Result<(), NotWritten> {
        self.end_seal()?;
        let seal = &signed.seal;
        if seal.tenant != self.header.tenant {
            return Err(NotWritten::Tenant(seal.number));
        }
        if self.header.key(signed.key).is_none() {
            return Err(NotWritten::Key(seal.number, signed.key));
        }
        if let Some(last) = &self.last
            && (last.seal.number.checked_add(1) != Some(seal.number) || seal.previous != self.end.head)
        {
            return Err(NotWritten::Chain(seal.number));
        }
        write_json(&mut self.out, &SealLine { seal: signed })?;
        self.end.seals += 1;
        self.end.head = seal.hash();
        self.last = Some(signed.clone());
        Ok(())
    }

    /// Writes an event of the seal that was written last. Events are in the order of project and event hash.
    ///
    /// # Errors
    /// If it is out of order, its hour is not the pack's, or `body` is none that it can have.
    pub fn leaf(&mut self, leaf: &Leaf, body: Body<'_>) -> Result<(), NotWritten> {
        if !self.is_within() {
            return Err(NotWritten::Outside);
        }
        let is_hashed = leaf.contents != ContentHash::NONE;
        let is_right = match (self.header.contents, body) {
            (Contents::Hashes, Body::None) | (Contents::Rows, Body::Erased) => true,
            (Contents::Rows, Body::None) => !is_hashed,
            (Contents::Rows, Body::Row(row)) => {
                row.len() <= ROW_BYTES_MAX && ContentHash::of(row) == leaf.contents
            }
            (Contents::Hashes, Body::Row(_) | Body::Erased) => false,
        };
        if !is_right {
            return Err(NotWritten::Row);
        }
        self.tree.push(leaf)?;
        self.end.quantity = self.end.quantity.checked_add(leaf.quantity).ok_or(NotPushed::Overflow)?;
        self.end.events += 1;
        self.line.clear();
        let Leaf { project, event, contents, quantity } = leaf;
        write!(self.line, r#"{{"leaf":[{project},"{:032x}","{:032x}",{quantity}]"#, event.0, contents.0)?;
        match body {
            Body::None => {}
            Body::Erased => self.line.extend_from_slice(br#","erased":true"#),
            Body::Row(row) => write!(self.line, r#","row":"{}""#, STANDARD.encode(row))?,
        }
        self.line.extend_from_slice(b"}\n");
        self.out.write_all(&self.line)?;
        Ok(())
    }

    /// Writes the end, and gives back what was written to, flushed.
    ///
    /// # Errors
    /// If the last leaves are not those of their seal.
    pub fn finish(mut self) -> Result<W, NotWritten> {
        self.end_seal()?;
        write_json(&mut self.out, &EndLine { end: self.end })?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn is_within(&self) -> bool {
        self.last.as_ref().is_some_and(|last| self.header.holds(last.seal.hour))
    }

    fn end_seal(&mut self) -> Result<(), NotWritten> {
        let root = std::mem::take(&mut self.tree).finish();
        match &self.last {
            Some(last) if self.is_within() && root != Some(last.seal.root) => {
                Err(NotWritten::Root(last.seal.number))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct SealLine<'a> {
    seal: &'a Signed,
}

#[derive(Serialize)]
struct EndLine {
    end: End,
}

fn write_json(out: &mut impl Write, form: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, form)?;
    out.write_all(b"\n")
}
