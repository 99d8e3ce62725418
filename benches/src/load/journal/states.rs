//! A number from 0 to 3 for each event: a quarter of a byte each, so that ten million take 2.5 MB.

/// Numbers from 0 to 3, by connection and sequence; zero unless set.
#[derive(Debug, Clone, Default)]
pub(crate) struct States(Vec<Vec<u8>>);

impl States {
    pub(crate) const MAX: u8 = 3;

    pub(crate) fn get(&self, connection: u16, sequence: u32) -> u8 {
        let (byte, shift) = place(sequence);
        let bytes = self.0.get(usize::from(connection));
        bytes.and_then(|bytes| bytes.get(byte)).map_or(0, |byte| (byte >> shift) & Self::MAX)
    }

    /// Sets a state; what is above [`Self::MAX`] counts as that.
    pub(crate) fn set(&mut self, connection: u16, sequence: u32, state: u8) {
        let (byte, shift) = place(sequence);
        let connection = usize::from(connection);
        if self.0.len() <= connection {
            self.0.resize_with(connection + 1, Vec::new);
        }
        let bytes = &mut self.0[connection];
        if bytes.len() <= byte {
            bytes.resize(byte + 1, 0);
        }
        bytes[byte] = bytes[byte] & !(Self::MAX << shift) | (state.min(Self::MAX) << shift);
    }

    /// Every event whose state is not zero, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u32, u8)> + '_ {
        (0_u16..)
            .zip(&self.0)
            .flat_map(|(connection, bytes)| {
                let states =
                    bytes.iter().flat_map(|byte| (0..4).map(move |at| (byte >> (at * 2)) & Self::MAX));
                (0_u32..).zip(states).map(move |(sequence, state)| (connection, sequence, state))
            })
            .filter(|(_, _, state)| *state != 0)
    }
}

/// The byte and the shift within it.
fn place(sequence: u32) -> (usize, u32) {
    ((sequence / 4) as usize, sequence % 4 * 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(sets in proptest::collection::vec((0..4_u16, 0..200_u32, 0..=3_u8), 0..300)) {
            let (mut states, mut map) = (States::default(), BTreeMap::new());
            for (connection, sequence, state) in sets {
                states.set(connection, sequence, state);
                map.insert((connection, sequence), state);
            }
            for (&(connection, sequence), &state) in &map {
                prop_assert_eq!(states.get(connection, sequence), state);
            }
            map.retain(|_, state| *state != 0);
            let found: Vec<_> = states.iter().map(|(c, s, state)| ((c, s), state)).collect();
            prop_assert_eq!(found, map.into_iter().collect::<Vec<_>>());
        }
    }
}
