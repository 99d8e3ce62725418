//! Where an address is, by a database in MaxMind's format.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};

mod layout;
mod reserved;

use layout::Record;
use reserved::is_public;

/// Bytes of a database file. The largest that are sold have some 500 MB.
const FILE_BYTES_MAX: u64 = 4 << 30;
/// A place; empty where the database does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Two letters of ISO 3166-1.
    pub(super) country: String,
    /// The largest part of the country, by its English name or else its code.
    pub(super) region: String,
    /// Its English name.
    pub(super) city: String,
    /// Two letters: AF, AN, AS, EU, NA, OC, SA.
    pub(super) continent: String,
    /// Its IANA name.
    pub(super) time_zone: String,
}

/// Nowhere.
pub(super) const NOWHERE: &Place = &Place {
    country: String::new(),
    region: String::new(),
    city: String::new(),
    continent: String::new(),
    time_zone: String::new(),
};

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum GeoError {
    /// It can't be read; in particular, it is not there.
    #[error("it can't be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is no database in MaxMind's format, or not all of it.
    #[error("it is not a whole database in MaxMind's format (.mmdb): {0}")]
    Format(#[from] MaxMindDbError),
    /// It is larger than any that is known.
    #[error("it has {0} bytes: 4 GiB is the most")]
    TooLarge(u64),
    /// It knows something else of addresses.
    #[error("it is a database of the type {0}, which names no countries: take one of cities or of countries")]
    NoPlaces(String),
}

/// A database, all of it in memory.
#[derive(Debug)]
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    built: u32,
}

impl Database {
    /// Reads a file and looks at all that it holds: one that is good now gives no error later.
    pub(super) fn open(path: &Path) -> Result<Self, GeoError> {
        let bytes = std::fs::metadata(path)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(GeoError::TooLarge(bytes));
        }
        let reader = Reader::from_source(std::fs::read(path)?)?;
        let built = u32::try_from(reader.metadata().build_epoch).unwrap_or(u32::MAX);
        let database = Self { reader, built };
        database.check()?;
        Ok(database)
    }

    /// When it was made, in unix seconds.
    pub(super) fn built(&self) -> u32 {
        self.built
    }

    /// What kind of database it says it is.
    pub(super) fn kind(&self) -> &str {
        &self.reader.metadata().database_type
    }

    fn check(&self) -> Result<(), GeoError> {
        let (mut known, mut has_country) = (HashSet::new(), false);
        for network in self.reader.networks(WithinOptions::default())? {
            let network = network?;
            if network.offset().is_some_and(|offset| known.insert(offset))
                && let Some(record) = network.decode::<Record<'_>>()?
            {
                has_country |= !record.place().country.is_empty();
            }
        }
        if has_country { Ok(()) } else { Err(GeoError::NoPlaces(self.kind().to_owned())) }
    }
}

/// The places of a batch's addresses, each looked up once.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    /// By where the database has them: many addresses share a place.
    by_offset: HashMap<usize, usize>,
    by_address: HashMap<IpAddr, Option<usize>>,
    last: Option<(IpAddr, Option<usize>)>,
}

impl Places {
    /// Where a public address is.
    pub(super) fn find(&mut self, database: &Database, address: IpAddr) -> &Place {
        let address = address.to_canonical();
        // Events of one request follow each other.
        let found = match self.last {
            Some((last, found)) if last == address => found,
            _ => self.find_new(database, address),
        };
        self.last = Some((address, found));
        found.and_then(|place| self.places.get(place)).unwrap_or(NOWHERE)
    }

    fn find_new(&mut self, database: &Database, address: IpAddr) -> Option<usize> {
        if let Some(known) = self.by_address.get(&address) {
            return *known;
        }
        let found = if is_public(address) { self.look_up(database, address) } else { None };
        self.by_address.insert(address, found);
        found
    }

    fn look_up(&mut self, database: &Database, address: IpAddr) -> Option<usize> {
        // An error is an IPv6 address in a database of IPv4: all else was looked at when it was opened.
        let found = database.reader.lookup(address).ok()?;
        let offset = found.offset()?;
        if let Some(known) = self.by_offset.get(&offset) {
            return Some(*known);
        }
        let record = found.decode::<Record<'_>>().ok()??;
        self.places.push(record.place());
        self.by_offset.insert(offset, self.places.len() - 1);
        Some(self.places.len() - 1)
    }
}
