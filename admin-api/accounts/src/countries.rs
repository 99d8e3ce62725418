//! In which country an address is, by a database in MaxMind's format: for people who look at their sessions.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;

/// Bytes of a database file at most. Those of countries have some 10 MB, those of cities some 100.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A database of countries, all of it in memory.
pub struct Countries(Reader<Vec<u8>>);

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CountriesError {
    /// It can't be read; in particular, it is not there.
    #[error("it can't be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is no database in MaxMind's format.
    #[error("it is no database in MaxMind's format (.mmdb): {0}")]
    Format(#[from] MaxMindDbError),
    /// It is larger than any of countries.
    #[error("it has {0} bytes: take a database of countries")]
    TooLarge(u64),
}

/// Nested as MaxMind has it, or flat.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    country: Option<Coded<'a>>,
    country_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Coded<'a> {
    iso_code: Option<&'a str>,
}

impl Countries {
    /// Reads a file.
    ///
    /// # Errors
    /// [`CountriesError`].
    pub fn open(path: &Path) -> Result<Self, CountriesError> {
        let bytes = std::fs::metadata(path)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(CountriesError::TooLarge(bytes));
        }
        Ok(Self(Reader::from_source(std::fs::read(path)?)?))
    }

    /// Two letters of ISO 3166-1. `None`: the database does not know.
    pub(crate) fn of(&self, address: IpAddr) -> Option<String> {
        let record: Record<'_> = self.0.lookup(address.to_canonical()).ok()?.decode().ok()??;
        let code = record.country.and_then(|country| country.iso_code).or(record.country_code)?;
        (code.len() == 2).then(|| code.to_ascii_uppercase())
    }
}

impl fmt::Debug for Countries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Countries(..)")
    }
}
