//! What readers may see of a partition.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};
use std::{fs, io};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::directory::unavailable;
use super::disk::sync_dir;
use super::record::{CHUNK_BYTES, SEGMENT_HEAD_LEN, Seed};
use crate::{Bounds, LogError};

/// A segment's file and what is known of its inside.
#[derive(Debug)]
pub(super) struct Segment {
    /// The offset of its first record.
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) seed: Seed,
    /// Some offsets and the positions of their records, about one a chunk; none of a segment that was closed
    /// before the log was opened.
    index: Mutex<Vec<(u64, u64)>>,
}

impl Segment {
    pub(super) fn new(first: u64, path: PathBuf, seed: Seed) -> Self {
        Self { first, path, seed, index: Mutex::new(vec![(first, SEGMENT_HEAD_LEN as u64)]) }
    }

    /// Notes where a record begins, if the last note is far enough behind.
    pub(super) fn note(&self, offset: u64, position: u64) {
        let mut index = self.index.lock();
        if index.last().is_none_or(|(_, last)| position >= last + CHUNK_BYTES as u64) {
            index.push((offset, position));
        }
    }

    /// A record at or before this offset, and its position.
    pub(super) fn near(&self, offset: u64) -> (u64, u64) {
        let index = self.index.lock();
        let at = index.partition_point(|(noted, _)| *noted <= offset).saturating_sub(1);
        index.get(at).copied().unwrap_or((self.first, SEGMENT_HEAD_LEN as u64))
    }
}

/// Where the record with some offset is.
#[derive(Debug)]
pub(super) enum Place {
    /// It is not written yet.
    Ahead,
    /// It is not in the log any more.
    Gone(Bounds),
    /// In this segment, which readers may read up to (not including) this offset.
    In(Arc<Segment>, u64),
}

/// The readable part of a partition: whole segments, the last one up to the durable end.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) number: u32,
    view: Mutex<View>,
}

#[derive(Debug)]
struct View {
    /// Never empty: the last one is written to.
    segments: VecDeque<Arc<Segment>>,
    /// One past the last durable record.
    end: u64,
    waiting: Vec<Weak<Notify>>,
}

impl View {
    fn bounds(&self) -> Bounds {
        Bounds { start: self.segments.front().map_or(self.end, |segment| segment.first), end: self.end }
    }

    fn wake(&mut self) {
        self.waiting.retain(|reader| {
            reader.upgrade().is_some_and(|reader| {
                reader.notify_one();
                true
            })
        });
    }
}

impl Partition {
    pub(super) fn new(number: u32, segments: Vec<Arc<Segment>>, end: u64) -> Self {
        Self { number, view: Mutex::new(View { segments: segments.into(), end, waiting: Vec::new() }) }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.view.lock().bounds()
    }

    /// From now on, `reader` is notified of every move of the end.
    pub(super) fn subscribe(&self, reader: &Arc<Notify>) {
        let mut view = self.view.lock();
        view.waiting.retain(|reader| reader.strong_count() > 0);
        view.waiting.push(Arc::downgrade(reader));
    }

    /// Lets readers see the records below `end`, which are durable.
    ///
    /// # Panics
    /// If the end would move back: what a reader may have seen stays.
    pub(super) fn publish(&self, end: u64) {
        let mut view = self.view.lock();
        assert!(
            end >= view.end,
            "the durable end of partition {} moved from {} to {end}",
            self.number,
            view.end
        );
        view.end = end;
        view.wake();
    }

    /// Adds the segment that is written to from now on.
    pub(super) fn add_segment(&self, segment: Arc<Segment>) {
        self.view.lock().segments.push_back(segment);
    }

    /// Replaces the view by what another process has written meanwhile.
    pub(super) fn replace(&self, segments: Vec<Arc<Segment>>, end: u64) {
        let mut view = self.view.lock();
        view.segments = segments.into();
        view.end = end.max(view.end);
        view.wake();
    }

    pub(super) fn place(&self, offset: u64) -> Place {
        let view = self.view.lock();
        let bounds = view.bounds();
        if offset < bounds.start {
            return Place::Gone(bounds);
        }
        let behind = view.segments.partition_point(|segment| segment.first <= offset);
        match view.segments.get(behind.wrapping_sub(1)) {
            Some(segment) if offset < bounds.end => {
                let until = view.segments.get(behind).map_or(bounds.end, |next| next.first);
                Place::In(Arc::clone(segment), until)
            }
            Some(_) | None => Place::Ahead,
        }
    }

    /// Deletes closed segments from the oldest on, as long as all their records are below `before` and their last
    /// write is older than `retention` at the time `now`. Returns how many.
    pub(super) fn trim(&self, before: u64, now: SystemTime, retention: Duration) -> Result<usize, LogError> {
        let mut deleted = 0;
        while let Some((segment, next)) = self.oldest_closed().filter(|(_, next)| *next <= before) {
            let failed = |error: io::Error| unavailable(&segment.path, &error);
            let written = fs::metadata(&segment.path).and_then(|meta| meta.modified()).map_err(failed)?;
            if now.duration_since(written).is_ok_and(|age| age > retention) {
                self.view.lock().segments.retain(|kept| kept.first != segment.first);
                fs::remove_file(&segment.path).map_err(failed)?;
                // One by one, so that no crash leaves a gap.
                segment.path.parent().map_or(Ok(()), sync_dir).map_err(failed)?;
                tracing::debug!(partition = self.number, from = segment.first, to = next, "segment trimmed");
                deleted += 1;
            } else {
                break;
            }
        }
        Ok(deleted)
    }

    fn oldest_closed(&self) -> Option<(Arc<Segment>, u64)> {
        let view = self.view.lock();
        Some((Arc::clone(view.segments.front()?), view.segments.get(1)?.first))
    }
}
