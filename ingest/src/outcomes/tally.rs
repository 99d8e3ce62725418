use schemas::intake::Intake;

/// Events of one request by outcome.
#[derive(Debug)]
pub(super) struct EventCounts {
    pub(super) events: [u32; Intake::COUNT],
    /// A bit for each outcome that has some.
    pub(super) met: u64,
    /// Under which outcome the request as such is counted.
    pub(super) request: Option<Intake>,
}

const _: () = assert!(Intake::COUNT <= 64, "an outcome has a bit in `met`");

impl EventCounts {
    /// The places of the outcomes that were met, with their events.
    #[inline]
    pub(super) fn met(&self) -> impl Iterator<Item = (u8, u32)> {
        let mut left = self.met;
        std::iter::from_fn(move || {
            let place = u8::try_from(left.trailing_zeros()).unwrap_or(u8::MAX);
            left &= left.wrapping_sub(1);
            Some((place, *self.events.get(usize::from(place))?))
        })
    }
}
