//! Event ids that can be recomputed: run, connection, sequence.

/// The run's part of its ids, from its seed: ids of two runs differ unless their seeds are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunId(pub(crate) u64);

/// Hex digits of the sequence number, which ends an id.
pub(crate) const SEQUENCE_DIGITS: usize = 8;
const CONNECTION_DIGITS: usize = 4;

impl RunId {
    /// How every id of the run begins.
    pub(crate) fn prefix(self) -> String {
        format!("l-{:016x}-", self.0)
    }

    /// The id of event `sequence` of `connection`.
    pub(crate) fn event(self, connection: u16, sequence: u32) -> String {
        format!("l-{:016x}-{connection:04x}-{sequence:08x}", self.0)
    }

    /// Connection and sequence of an id of this run; `None` for any other text.
    pub(crate) fn parse(self, id: &str) -> Option<(u16, u32)> {
        let rest = id.strip_prefix(&self.prefix())?;
        let (connection, sequence) = rest.split_once('-')?;
        if connection.len() != CONNECTION_DIGITS || sequence.len() != SEQUENCE_DIGITS {
            return None;
        }
        let found = (u16::from_str_radix(connection, 16).ok()?, u32::from_str_radix(sequence, 16).ok()?);
        // Signs and capitals are read as hex too, but are not how an id is written.
        (self.event(found.0, found.1) == id).then_some(found)
    }
}

/// Mixes a number into one that looks random: SplitMix64's finaliser. Cheap, and the same on every machine.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A seeded sequence of numbers for choices that a run must be able to repeat.
#[derive(Debug)]
pub(crate) struct Choices(u64);

impl Choices {
    /// The choices of one connection of a run.
    pub(crate) fn new(run: RunId, connection: u16) -> Self {
        Self(mix(run.0 ^ mix(u64::from(connection))))
    }

    /// One of `0..bound`; zero if `bound` is zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0).checked_rem(bound).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_leads_back_to_connection_and_sequence(seed: u64, connection: u16, sequence: u32) {
            let run = RunId(seed);
            let id = run.event(connection, sequence);
            prop_assert!(id.starts_with(&run.prefix()) && id.len() <= schemas::limit::EVENT_ID_BYTES_MAX);
            prop_assert_eq!(run.parse(&id), Some((connection, sequence)));
        }
    }

    #[test]
    fn ids_of_other_runs_and_other_texts_are_not_ours() {
        let run = RunId(7);
        let near = [
            "l-0000000000000007-0001-0000000A",
            "l-0000000000000007-0001-+000000a",
            "l-0000000000000007-1-a",
        ];
        for id in near.into_iter().map(String::from).chain([RunId(8).event(1, 1), String::new()]) {
            assert_eq!(run.parse(&id), None, "{id}");
        }
    }
}
