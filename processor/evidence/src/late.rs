//! Events that came late: an hour that is sealed again, of these alone.

use std::collections::BTreeMap;

use crate::refused::Why;
use crate::seal::Seal;

/// Bytes of offsets that are remembered, about: a year of hours of a log with a thousand partitions.
const BYTES_MAX: usize = 64 << 20;
/// What an hour takes in addition to its offsets.
const HOUR_BYTES: usize = 64;

/// Up to which offsets each hour and period was sealed. Where memory ends, the earliest hours are forgotten.
#[derive(Default)]
pub(crate) struct Sealed {
    offsets: BTreeMap<(i64, i64), Vec<u64>>,
    bytes: usize,
    latest: Option<i64>,
}

/// Where the events of a seal begin.
pub(crate) struct Begun {
    /// Whether its hour had passed when it was made.
    pub(crate) is_late: bool,
    /// The offsets of the seal before of the same hour and period, if there is one that is known.
    pub(crate) since: Option<Vec<u64>>,
}

impl Sealed {
    /// Takes note of a seal.
    pub(crate) fn note(&mut self, seal: &Seal) -> Result<Begun, Why> {
        let since = self.offsets.remove(&seal.span());
        if let Some(since) = &since {
            self.bytes = self.bytes.saturating_sub(bytes(since));
            let goes_on = since.len() <= seal.offsets.len()
                && since.iter().zip(&seal.offsets).all(|(before, now)| before <= now);
            if !goes_on {
                return Err(Why::Offsets);
            }
        }
        let is_late = since.is_some() || self.latest.is_some_and(|latest| seal.hour < latest);
        self.latest = self.latest.max(Some(seal.hour));
        self.bytes += bytes(&seal.offsets);
        self.offsets.insert(seal.span(), seal.offsets.clone());
        while self.bytes > BYTES_MAX
            && let Some((_, forgotten)) = self.offsets.pop_first()
        {
            self.bytes = self.bytes.saturating_sub(bytes(&forgotten));
        }
        Ok(Begun { is_late, since })
    }
}

fn bytes(offsets: &[u64]) -> usize {
    HOUR_BYTES + size_of_val(offsets)
}
