//! Writing a run, front to back, in bounded memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use super::Header;
use crate::block::{BLOCK_ENTRIES, BLOCK_LEN, seal};
use crate::entry::{ENTRY_LEN, Entry};
use crate::filter::{LINE_LEN, Line, line_of, lines_for};

/// Bytes that are collected before they are written.
const PIECE: usize = 1 << 20;
/// Bytes after which what is written is brought to disk: the log's own syncs must not wait for a gigabyte of ids.
const SYNC_EVERY: u64 = 32 << 20;

/// A run in the making. What it has written means nothing until [`RunWriter::finish`].
pub(crate) struct RunWriter {
    file: File,
    header: Header,
    lines: usize,
    filter: Section,
    line: Line,
    line_at: usize,
    blocks: Section,
    block: Box<[u8; BLOCK_LEN]>,
    block_entries: usize,
    block_number: u64,
    index: Vec<u8>,
    unsynced: u64,
}

impl RunWriter {
    /// A run of `ids_max` ids at most: so many has its filter room for.
    pub(crate) fn create(path: &Path, ids_max: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        let lines = lines_for(ids_max);
        let header = Header::new(Uuid::now_v7(), ids_max, lines);
        Ok(Self {
            file,
            lines: usize::try_from(lines).unwrap_or(usize::MAX),
            filter: Section::from(BLOCK_LEN as u64),
            line: Line::default(),
            line_at: 0,
            blocks: Section::from(header.block_at(0)),
            block: Box::new([0; BLOCK_LEN]),
            block_entries: 0,
            block_number: 0,
            index: Vec::new(),
            header,
            unsynced: 0,
        })
    }

    /// Adds the next entry in order; its key is greater than the last one's.
    pub(crate) fn push(&mut self, entry: &Entry) -> io::Result<()> {
        let line = line_of(entry.hash, self.lines);
        while self.line_at < line {
            self.end_line()?;
        }
        self.line.add(entry.hash);
        if self.block_entries == 0 && self.block_number.is_multiple_of(self.header.sample_every) {
            self.index.extend_from_slice(&entry.high().to_le_bytes());
        }
        let mut bytes = [0; ENTRY_LEN];
        entry.write(&mut bytes);
        self.block[self.block_entries * ENTRY_LEN..][..ENTRY_LEN].copy_from_slice(&bytes);
        self.block_entries += 1;
        let header = &mut self.header;
        header.ids += 1;
        header.first_position = header.first_position.min(entry.position);
        header.last_position = header.last_position.max(entry.position);
        if self.block_entries == BLOCK_ENTRIES {
            self.end_block()?;
        }
        Ok(())
    }

    /// Brings everything to disk. `None`: there was no entry, and there is no run.
    pub(crate) fn finish(mut self) -> io::Result<Option<Header>> {
        if self.header.ids == 0 {
            return Ok(None);
        }
        while self.line_at < self.lines {
            self.end_line()?;
        }
        if self.block_entries > 0 {
            self.end_block()?;
        }
        self.filter.end(&self.file)?;
        self.blocks.end(&self.file)?;
        let header = Header {
            filter_crc: self.filter.crc,
            index_crc: crc32c::crc32c(&self.index),
            blocks: self.block_number,
            ..self.header
        };
        self.file.write_all_at(&self.index, header.index_at())?;
        self.file.write_all_at(&header.to_bytes(), 0)?;
        self.file.sync_all()?;
        Ok(Some(header))
    }

    fn end_line(&mut self) -> io::Result<()> {
        let line: [u8; LINE_LEN] = std::mem::take(&mut self.line).to_bytes();
        self.line_at += 1;
        self.filter.push(&self.file, &line)?;
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        self.block[self.block_entries * ENTRY_LEN..].fill(0);
        seal(&mut self.block, self.header.id, self.block_number);
        self.unsynced += self.blocks.push(&self.file, &self.block[..])?;
        (self.block_entries, self.block_number) = (0, self.block_number + 1);
        if self.unsynced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }
}

/// A part of the file that is written front to back.
struct Section {
    at: u64,
    crc: u32,
    piece: Vec<u8>,
}

impl Section {
    fn from(at: u64) -> Self {
        Self { at, crc: 0, piece: Vec::new() }
    }

    /// Adds bytes; returns how many were written to the file.
    fn push(&mut self, file: &File, bytes: &[u8]) -> io::Result<u64> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() < PIECE {
            return Ok(0);
        }
        self.end(file)
    }

    fn end(&mut self, file: &File) -> io::Result<u64> {
        let written = self.piece.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, &self.piece);
        file.write_all_at(&self.piece, self.at)?;
        self.at += written;
        self.piece.clear();
        Ok(written)
    }
}
