//! Where stores come from.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use schemas::id::Position;

use crate::background::Background;
use crate::disk;
use crate::entry::ENTRY_LEN;
use crate::hours::window_hours;
use crate::ids::SeenIds;
use crate::manifest::Binding;
use crate::memory::Memory;
use crate::table::PLACE_BYTES;

/// Places of a table at least and at most: powers of two.
const PLACES_MIN: u64 = 1 << 12;
const PLACES_MAX: u64 = 1 << 20;
/// Of a place: in the table that takes ids, in the one that goes to disk, and in its sorted copy.
const BYTES_A_PLACE: u64 = 2 * PLACE_BYTES as u64 + ENTRY_LEN as u64;
/// The tables' share of the memory is one part of so many. Filters have the rest.
const TABLES_SHARE: u64 = 4;

/// What the stores of a processor have in common.
#[derive(Debug)]
pub struct IdStores {
    root: PathBuf,
    log: String,
    window: Duration,
    memory: Arc<Memory>,
    places: u64,
    background: Mutex<Option<Background>>,
}

/// A store that has to be brought up to date before it is asked anything.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SeenIds,
    /// It holds what stands before this position, and needs to be filled from there on; `None`: it holds nothing.
    pub holds_below: Option<Position>,
}

impl IdStores {
    /// Stores in the folder `root`, for the log of that identity and number of partitions, which keep ids for `window`.
    ///
    /// All stores together take `memory_max` bytes: a quarter for tables, the rest for filters of 10 to 16 bits an id.
    /// Runs whose filter finds no room do without: then each look-up reads them. Beyond it go, for each partition, 400
    /// KB of the smallest tables and up to 512 KiB for the index of each run (of 64 at most), and 17 MB for merges.
    #[must_use]
    pub fn new(root: PathBuf, log: &str, partitions: u32, window: Duration, memory_max: u64) -> Self {
        let places = memory_max / TABLES_SHARE / u64::from(partitions.max(1)) / BYTES_A_PLACE;
        let places = places.clamp(PLACES_MIN, PLACES_MAX);
        Self {
            root,
            log: log.to_owned(),
            window,
            memory: Memory::new(memory_max),
            // The power of two below.
            places: 1 << places.ilog2(),
            background: Mutex::new(None),
        }
    }

    /// Opens the store of a partition, whose ids are of that generation (`partition_cursor.ids_generation`). What is on
    /// disk and can't be used is dropped, with a line in the log.
    ///
    /// # Errors
    /// If the file system fails, or others have all places for it.
    pub fn open(&self, partition: u32, generation: i64) -> io::Result<Opened> {
        let window_hours = window_hours(self.window);
        let binding = Binding { log: self.log.clone(), partition, generation, window_hours };
        let smallest = self.places / 8 * 7;
        let tables = self.memory.take(self.places * BYTES_A_PLACE);
        let (disk, manifest) = disk::open(&self.root, &binding, &self.memory, self.background()?, smallest)?;
        let places = usize::try_from(self.places).unwrap_or(usize::MAX);
        let holds_below = manifest.holds_below;
        let store = SeenIds::of(disk, manifest, self.window, places, tables);
        let holds_below = (holds_below > 0).then(|| Position::from_number(holds_below));
        Ok(Opened { store, holds_below })
    }

    /// The same with tables of so many places, a power of two.
    #[cfg(test)]
    pub(super) fn with_places(self, places: u64) -> Self {
        Self { places, ..self }
    }

    /// For how long ids are kept.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Bytes of memory that all stores take, or have set aside for tables.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.memory.used()
    }

    fn background(&self) -> io::Result<Background> {
        let mut background = self.background.lock();
        if let Some(background) = &*background {
            return Ok(background.clone());
        }
        Ok(background.insert(Background::start()?).clone())
    }
}
