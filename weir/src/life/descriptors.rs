//! How many descriptors the process may have open: one for each connection, and some for all else.

use rustix::process::{Resource, getrlimit, setrlimit};

/// For stores, listeners and the files of the log.
const OTHER_DESCRIPTORS: u64 = 1_000;

/// Raises the limit in effect to the highest that the system allows this process. It is 1,024 on most systems, for the
/// sake of programs that wait with `select`, which weir does not; a server that stops there serves a thousand clients.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused the limit stays as it was, and `check` warns.
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit });
}

/// Warns if `connections_max` connections can't all be open.
pub(crate) fn check(connections_max: usize) {
    let wanted = u64::try_from(connections_max).unwrap_or(u64::MAX).saturating_add(OTHER_DESCRIPTORS);
    if let Some(limit) = getrlimit(Resource::Nofile).current
        && limit < wanted
    {
        tracing::warn!(
            limit,
            wanted,
            "the system allows fewer descriptors than WEIR_CONNECTIONS_MAX needs: raise the limit \
             (ulimit -n, LimitNOFILE) or lower the setting"
        );
    }
}
