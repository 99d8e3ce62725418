//! Events that must not come back.

use crate::batch::Placed;

/// Whether the event was erased from `events` since it was stored: then its row must not be brought back from the log.
/// Nothing erases single events.
#[must_use]
pub(crate) fn is_erased(_placed: &Placed<'_>) -> bool {
    false
}
