//! What a process serves.

/// Which roles a process has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roles {
    pub(crate) ingest: bool,
    pub(crate) processor: bool,
    pub(crate) billing: bool,
    pub(crate) admin: bool,
}

impl Roles {
    pub(crate) const ALL: Self = Self { ingest: true, processor: true, billing: true, admin: true };
    pub(crate) const NONE: Self = Self { ingest: false, processor: false, billing: false, admin: false };
}
