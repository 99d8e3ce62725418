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

    /// Whether a process with these roles does nothing but process.
    pub(crate) fn only_processes(self) -> bool {
        matches!(self, Self { ingest: false, processor: true, billing: false, admin: false })
    }

    /// What traces call a process with these roles.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self { ingest: true, processor: false, billing: false, admin: false } => "weir-ingest",
            Self { ingest: false, processor: true, billing: false, admin: false } => "weir-processor",
            Self { ingest: false, processor: false, billing: true, admin: false } => "weir-billing",
            Self { ingest: false, processor: false, billing: false, admin: true } => "weir-admin",
            _ => "weir",
        }
    }
}
