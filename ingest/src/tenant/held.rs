//! Bytes that are held, within limits.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that somebody holds.
#[derive(Debug, Default)]
pub struct Held(AtomicUsize);

impl Held {
    /// Takes `more` bytes if at most `bytes_max` are held with them, or if nobody but the asker, who has `own` of
    /// them already, holds any: a lone request is never too large.
    #[must_use]
    pub fn take(&self, own: usize, more: usize, bytes_max: usize) -> bool {
        self.update(more, |held| held == own || fits(held, more, bytes_max))
    }

    /// Takes `more` bytes if at most `bytes_max` are held with them.
    #[must_use]
    pub fn take_strictly(&self, more: usize, bytes_max: usize) -> bool {
        self.update(more, |held| fits(held, more, bytes_max))
    }

    /// Gives back what was taken.
    pub fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn update(&self, more: usize, may: impl Fn(usize) -> bool) -> bool {
        let may = |held| may(held) || faults::mutant("unbounded-queue");
        let take = |held| may(held).then(|| held.saturating_add(more));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

fn fits(held: usize, more: usize, bytes_max: usize) -> bool {
    held.checked_add(more).is_some_and(|bytes| bytes <= bytes_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_fits_and_one_more_does_not() {
        let held = Held::default();
        assert!(held.take_strictly(9, 10) && held.take_strictly(1, 10) && !held.take_strictly(1, 10));
        held.give_back(1);
        assert!(!held.take_strictly(2, 10) && !held.take(0, 2, 10) && held.take(0, 1, 10));
        assert!(!held.take_strictly(usize::MAX, usize::MAX));
    }

    #[test]
    fn a_lone_holder_may_go_beyond_and_nobody_else() {
        let held = Held::default();
        assert!(held.take(0, 15, 10), "nobody holds anything");
        assert!(!held.take(0, 1, 10), "somebody else does");
        assert!(held.take(15, 20, 10), "the same one");
        held.give_back(35);
        assert!(held.take(0, 5, 10) && held.take(0, 5, 10) && !held.take(5, 1, 10));
    }
}
