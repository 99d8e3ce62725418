//! Names of things. Each is its own type, so that a tenant can't stand where a project is meant.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::Xxh3;

use crate::described::{self, described};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A customer of the operator. Quotas, rates, plans and invoices belong to a tenant.
    TenantId
);
number_id!(
    /// One stream of a tenant's events, such as production or staging. A key belongs to one project, and event
    /// ids are unique within it.
    ProjectId
);
number_id!(
    /// What an ingest node holds of a tenant's quota for a period; tenants without a cap have leases for counting.
    LeaseId
);

impl LeaseId {
    /// What a frame carries whose events were accepted without a lease: they are counted when they are stored.
    pub const NONE: Self = Self(0);
}

pub(crate) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Digits of a [`KeyId`] in text: 62^10 is below 2^63, so that every such text is a number that Postgres holds.
const KEY_ID_DIGITS: usize = 10;

/// The public part of an API key: ten base-62 digits, for logs, look-up and `weir key revoke`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(i64);

described!(KeyId, described::text("^[0-9A-Za-z]{10}$"));

impl KeyId {
    /// The id that the database holds as a number; `None` if it is not one that could have been issued.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        (0..62_i64.pow(10)).contains(&number).then_some(Self(number))
    }

    /// The id as a number, for the database and the frame.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base62(self.0.unsigned_abs(), KEY_ID_DIGITS).fmt(f)
    }
}

/// The text was not ten base-62 digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a key id is ten letters and digits, as in wk_live_<id>_...")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        if text.len() != KEY_ID_DIGITS {
            return Err(KeyIdError);
        }
        let mut number = 0_i64;
        for byte in text.bytes() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'A'..=b'Z' => byte - b'A' + 10,
                b'a'..=b'z' => byte - b'a' + 36,
                _ => return Err(KeyIdError),
            };
            number = number * 62 + i64::from(digit);
        }
        Ok(Self(number))
    }
}

impl serde::Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `number` in base 62, padded with zeros to `digits`. Digits beyond that are cut off on the left.
pub(crate) fn base62(mut number: u64, digits: usize) -> String {
    let mut text = vec![b'0'; digits];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        *place = BASE62[digit];
        number /= 62;
    }
    text.into_iter().map(char::from).collect()
}

/// One random base-62 digit for each of `digits`, each equally likely.
pub(crate) fn random_base62(digits: usize) -> String {
    use rand::RngExt;
    let mut rng = rand::rng();
    (0..digits).map(|_| char::from(BASE62[rng.random_range(0..62)])).collect()
}

/// 128 bits of a project and an event id: decides the partition, and is the key of deduplication.
///
/// Not secret and not collision-proof against an adversary: wherever it stands for an event, it comes with the project,
/// so that nobody can craft an id that hides another tenant's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventHash(pub u128);

/// The low 64 bits of a hash, as a signed number.
pub(crate) fn low_bits(hash: u128) -> i64 {
    let bytes = hash.to_le_bytes();
    let mut low = [0; 8];
    low.copy_from_slice(&bytes[..8]);
    i64::from_le_bytes(low)
}

impl EventHash {
    /// The hash of the whole id: ids of some SDKs share most of their bytes with their neighbours.
    #[must_use]
    pub fn of(project: ProjectId, event_id: &str) -> Self {
        let mut hasher = Xxh3::new();
        hasher.update(&project.0.to_le_bytes());
        hasher.update(event_id.as_bytes());
        Self(hasher.digest128())
    }

    /// The low 64 bits, as the signed number that Postgres and ClickHouse's `reinterpretAsInt64` have for them.
    #[must_use]
    pub fn low_bits(self) -> i64 {
        low_bits(self.0)
    }

    /// The partition, of `partitions`, in which all retries of this event meet.
    #[must_use]
    pub fn partition(self, partitions: u32) -> u32 {
        u32::try_from(self.0 % u128::from(partitions.max(1))).unwrap_or_default()
    }
}

/// Where an event stands in its partition: the log offset of its frame and its index within it. Earlier events
/// have smaller positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(u64);

impl Position {
    /// Bits for the index within a log record, which has fewer bytes than would hold that many events.
    const INDEX_BITS: u32 = 16;

    /// The position of event `index` in the record at `offset`; offsets stay below 2^48.
    #[must_use]
    pub fn new(offset: u64, index: u16) -> Self {
        debug_assert!(offset < 1 << 48, "log offset beyond 48 bits");
        Self(offset << Self::INDEX_BITS | u64::from(index))
    }

    /// The position of the first event of the record at `offset`: half-open ranges of offsets become half-open
    /// ranges of positions.
    #[must_use]
    pub fn first_of(offset: u64) -> Self {
        Self::new(offset, 0)
    }

    /// A position as stored.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The position as it is stored.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }

    /// The log offset of the record.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.0 >> Self::INDEX_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_id_in_two_projects_is_two_events() {
        assert_ne!(EventHash::of(ProjectId(1), "a"), EventHash::of(ProjectId(2), "a"));
        assert_eq!(EventHash::of(ProjectId(1), "a"), EventHash::of(ProjectId(1), "a"));
    }

    #[test]
    fn the_hash_is_frozen() {
        // Partitions and stored rows depend on it: a change of this value needs a new frame version.
        assert_eq!(EventHash::of(ProjectId(7), "event-1").0, FROZEN);
    }
    const FROZEN: u128 = 64_611_402_242_835_421_127_776_019_431_385_167_566;

    proptest! {
        #[test]
        fn key_ids_survive_text(number in 0..62_i64.pow(10)) {
            let id = KeyId::from_number(number).unwrap();
            prop_assert_eq!(id.to_string().parse::<KeyId>().unwrap(), id);
        }

        #[test]
        fn positions_keep_the_order_of_offset_and_index(a in 0_u64..1 << 48, i: u16, b in 0_u64..1 << 48, j: u16) {
            let (p, q) = (Position::new(a, i), Position::new(b, j));
            prop_assert_eq!(p.cmp(&q), (a, i).cmp(&(b, j)));
            prop_assert_eq!(p.offset(), a);
        }
    }

    #[test]
    fn key_ids_of_other_lengths_or_letters_are_refused() {
        for text in ["", "000000000", "00000000000", "00000-0000", "00000é000"] {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
        }
        assert_eq!(KeyId::from_number(62_i64.pow(10)), None);
        assert_eq!(KeyId::from_number(-1), None);
    }
}
