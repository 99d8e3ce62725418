//! A node's share of a tenant's rate.

use std::num::NonZeroU32;

/// The whole, in parts.
const WHOLE: u32 = 1_000_000;
/// A share that grows by less than a part in so many is not worth a new limiter; what shrinks always is.
const GROWS_BY: u32 = 20;

/// A share of a rate, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(WHOLE);

    pub(crate) fn of_ppm(ppm: u32) -> Self {
        Self(ppm.clamp(1, WHOLE))
    }

    pub(crate) const fn ppm(self) -> u32 {
        self.0
    }

    /// This share of `events`, rounded down.
    pub(crate) fn of(self, events: u32) -> u32 {
        u32::try_from(u64::from(events) * u64::from(self.0) / u64::from(WHOLE)).unwrap_or(events)
    }

    /// Nanoseconds for each event at this share of `rate` a second, rounded up.
    pub(crate) fn pace(self, rate: NonZeroU32) -> u64 {
        let parts = u64::from(rate.get()) * u64::from(self.0);
        (1_000_000_000 * u64::from(WHOLE)).div_ceil(parts.max(1))
    }

    /// Whether it is worth replacing `old`.
    pub(crate) fn replaces(self, old: Self) -> bool {
        self < old || self.0 - old.0 > old.0 / GROWS_BY || (self == Self::WHOLE && old != self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pace_never_passes_the_share(rate in 1..2_000_000_u32, ppm in 1..=WHOLE) {
            let pace = Share::of_ppm(ppm).pace(NonZeroU32::new(rate).unwrap());
            let in_a_million_seconds = 1_000_000_000_000_000 / pace;
            prop_assert!(in_a_million_seconds <= u64::from(rate) * u64::from(ppm));
        }
    }
}
