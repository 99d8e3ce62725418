//! The first block of a run's file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use super::{SAMPLES_MAX, blocks_for};
use crate::block::damaged;
use crate::block::{BLOCK_ENTRIES, BLOCK_LEN};
use crate::filter::LINE_LEN;

const MAGIC: &[u8; 16] = b"weir ids run 1\n\0";
const CRC_AT: usize = BLOCK_LEN - 4;

/// What a run holds, and where. Numbers are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Made with the run: blocks of another run that stand in its place are noticed.
    pub(crate) id: Uuid,
    pub(crate) ids: u64,
    pub(crate) filter_lines: u64,
    /// The least and the greatest of its ids' positions.
    pub(crate) first_position: u64,
    pub(crate) last_position: u64,
    pub(crate) filter_crc: u32,
    pub(crate) index_crc: u32,
    /// The index has the first hash of every so many blocks.
    pub(crate) sample_every: u64,
    /// Follows from `ids`.
    pub(crate) blocks: u64,
}

impl Header {
    /// The header of an empty run that may get so many ids.
    pub(super) fn new(id: Uuid, ids_max: u64, filter_lines: u64) -> Self {
        Self {
            id,
            ids: 0,
            filter_lines,
            first_position: u64::MAX,
            last_position: 0,
            filter_crc: 0,
            index_crc: 0,
            sample_every: blocks_for(ids_max).div_ceil(SAMPLES_MAX).max(1),
            blocks: 0,
        }
    }

    pub(super) fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; BLOCK_LEN];
        file.read_exact_at(&mut bytes, 0)?;
        if &bytes[..16] != MAGIC {
            return Err(damaged("it is not of a version that this program reads".to_owned()));
        }
        let number = |place: usize| bytes[32 + place * 8..][..8].try_into().map_or(0, u64::from_le_bytes);
        let crc = |place: usize| bytes[place..][..4].try_into().map_or(0, u32::from_le_bytes);
        if crc(CRC_AT) != crc32c::crc32c(&bytes[..CRC_AT]) {
            return Err(damaged("its header is damaged".to_owned()));
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[16..32]);
        Ok(Self {
            id: Uuid::from_bytes(id),
            ids: number(0),
            filter_lines: number(1),
            first_position: number(2),
            last_position: number(3),
            filter_crc: crc(72),
            index_crc: crc(76),
            sample_every: number(4).max(1),
            blocks: blocks_for(number(0)),
        })
    }

    pub(super) fn to_bytes(self) -> [u8; BLOCK_LEN] {
        let mut bytes = [0; BLOCK_LEN];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..32].copy_from_slice(self.id.as_bytes());
        let numbers =
            [self.ids, self.filter_lines, self.first_position, self.last_position, self.sample_every];
        for (place, number) in bytes[32..72].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[72..76].copy_from_slice(&self.filter_crc.to_le_bytes());
        bytes[76..80].copy_from_slice(&self.index_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The checksum within the header, which vouches for the other checksums there.
    pub(crate) fn crc(&self) -> u32 {
        crc32c::crc32c(&self.to_bytes()[..CRC_AT])
    }

    fn blocks_at(&self) -> u64 {
        let filter_len = self.filter_lines.saturating_mul(LINE_LEN as u64);
        filter_len.next_multiple_of(BLOCK_LEN as u64).saturating_add(BLOCK_LEN as u64)
    }

    pub(super) fn block_at(&self, number: u64) -> u64 {
        self.blocks_at().saturating_add(number.saturating_mul(BLOCK_LEN as u64))
    }

    pub(super) fn entries_of(&self, block: u64) -> usize {
        let before = block.saturating_mul(BLOCK_ENTRIES as u64);
        usize::try_from(self.ids.saturating_sub(before)).map_or(BLOCK_ENTRIES, |left| left.min(BLOCK_ENTRIES))
    }

    pub(super) fn index_at(&self) -> u64 {
        self.block_at(self.blocks)
    }

    pub(super) fn index_len(&self) -> usize {
        usize::try_from(self.blocks.div_ceil(self.sample_every) * 8).unwrap_or(usize::MAX)
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.index_at().saturating_add(self.index_len() as u64)
    }
}
