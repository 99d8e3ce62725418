//! A block of a run: up to 127 entries in order, and a checksum that also says of which run it is, and which block.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use crate::entry::{ENTRY_LEN, Entry};

/// Bytes of a block.
pub(super) const BLOCK_LEN: usize = 4096;
/// Entries of a full block.
pub(super) const BLOCK_ENTRIES: usize = (BLOCK_LEN - CRC_LEN) / ENTRY_LEN;
const CRC_LEN: usize = 4;
const CRC_AT: usize = BLOCK_LEN - CRC_LEN;

/// Writes the checksum of block `number` of the run `id` to its end.
pub(super) fn seal(block: &mut [u8; BLOCK_LEN], id: Uuid, number: u64) {
    let crc = checksum(block, id, number);
    block[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
}

/// Checks block `number` of the run `id`.
pub(super) fn check(block: &[u8], id: Uuid, number: u64) -> io::Result<()> {
    if block.len() == BLOCK_LEN && block[CRC_AT..] == checksum(block, id, number).to_le_bytes() {
        return Ok(());
    }
    Err(damaged(format!("block {number} is damaged")))
}

fn checksum(block: &[u8], id: Uuid, number: u64) -> u32 {
    let mut name = [0; 24];
    name[..16].copy_from_slice(id.as_bytes());
    name[16..].copy_from_slice(&number.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&name), &block[..CRC_AT])
}

/// The entry at `place` of a block.
pub(super) fn entry(block: &[u8], place: usize) -> Entry {
    let mut bytes = [0; ENTRY_LEN];
    bytes.copy_from_slice(&block[place * ENTRY_LEN..][..ENTRY_LEN]);
    Entry::read(&bytes)
}

/// A block that was read last; the next look-up may need it again.
#[derive(Debug)]
pub(super) struct Block {
    bytes: Box<[u8; BLOCK_LEN]>,
    number: Option<u64>,
    entries: usize,
}

impl Block {
    pub(super) fn empty() -> Self {
        Self { bytes: Box::new([0; BLOCK_LEN]), number: None, entries: 0 }
    }

    /// Reads block `number`, which has `entries` and stands at byte `at`, unless it is here. Whether the file was read.
    pub(super) fn load(
        &mut self,
        file: &File,
        id: Uuid,
        number: u64,
        entries: usize,
        at: u64,
    ) -> io::Result<bool> {
        if self.number == Some(number) {
            return Ok(false);
        }
        self.number = None;
        file.read_exact_at(&mut self.bytes[..], at)?;
        check(&self.bytes[..], id, number)?;
        (self.number, self.entries) = (Some(number), entries);
        Ok(true)
    }

    /// The next block is of another run.
    pub(super) fn forget(&mut self) {
        self.number = None;
    }

    pub(super) fn first(&self) -> Entry {
        entry(&self.bytes[..], 0)
    }

    pub(super) fn last(&self) -> Entry {
        entry(&self.bytes[..], self.entries - 1)
    }

    /// The position of a key, if it is here.
    pub(super) fn find(&self, key: (u128, i64)) -> Option<u64> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = (low + high) / 2;
            let there = entry(&self.bytes[..], middle);
            match there.key().cmp(&key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(there.position),
            }
        }
        None
    }
}

/// What is read is not what was written.
pub(crate) fn damaged(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
