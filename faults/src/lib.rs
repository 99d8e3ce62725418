//! Fail points and mutants: where a process comes to harm, and which rule it breaks, when the fault campaign says so.
//!
//! Code says `faults::point("processor.before_insert")` where a crash would be worst, and
//! `if faults::mutant("no-dedup")` where a rule that holds everything together could be left out. Without the feature
//! `active`, which nothing but weir's own feature `faults` asks for, both are empty and inlined: the compiler leaves
//! nothing of them, nor of what a mutant would do.
//!
//! With it, a process does not start unless `WEIR_FAULTS` names a file. As long as that file is not there, all goes
//! well. A line in it arms one point, once:
//!
//! ```text
//! 7 processor.before_insert kill 3
//! ```
//!
//! is the seventh order, and at the third passing of that point, counted from now in each process, one process takes
//! the file away and ends itself as `kill -9` does, 20 ms later. Other actions: `stop` is SIGSTOP, `fail` is an error
//! of the call at that point. `WEIR_MUTANT` names the rule that is broken, from the start to the end of the process.

#[cfg(feature = "active")]
mod armed;

use std::io;

/// What a build with these says of itself, and why it does not start, if so.
///
/// # Errors
/// Which variable is missing or wrong. Never without the feature `active`.
pub fn may_start() -> Result<Option<String>, String> {
    #[cfg(feature = "active")]
    return armed::may_start().map(Some);
    #[cfg(not(feature = "active"))]
    Ok(None)
}

/// A place where a process may be killed or stopped.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(feature = "active")]
    armed::pass(name);
    #[cfg(not(feature = "active"))]
    let _ = name;
}

/// A place where a call to the system may fail, too.
///
/// # Errors
/// If `fail` was ordered: an I/O error.
#[inline]
pub fn call(name: &'static str) -> io::Result<()> {
    #[cfg(feature = "active")]
    return if armed::pass(name) { Err(io::Error::from_raw_os_error(armed::EIO)) } else { Ok(()) };
    #[cfg(not(feature = "active"))]
    {
        let _ = name;
        Ok(())
    }
}

/// The number of an order for `name`, if there is one. The caller that gets it carries it out.
#[inline]
#[must_use]
pub fn ordered(name: &'static str) -> Option<u64> {
    #[cfg(feature = "active")]
    return armed::take(name);
    #[cfg(not(feature = "active"))]
    {
        let _ = name;
        None
    }
}

/// Whether this process breaks that rule.
#[inline]
#[must_use]
pub fn mutant(name: &'static str) -> bool {
    #[cfg(feature = "active")]
    return armed::mutant(name);
    #[cfg(not(feature = "active"))]
    {
        let _ = name;
        false
    }
}

/// The wall clock in microseconds, for the mutant that reads it where nobody may; 0 without the feature.
#[must_use]
pub fn now_micros() -> i64 {
    #[cfg(feature = "active")]
    return armed::now_micros();
    #[cfg(not(feature = "active"))]
    0
}

/// Of `wanted` events as many as `cap` still covers by this process's own count, for the mutant that keeps quotas in
/// memory; 0 without the feature.
#[must_use]
pub fn granted_from_memory(tenant: i64, wanted: i64, cap: i64) -> i64 {
    #[cfg(feature = "active")]
    return armed::granted_from_memory(tenant, wanted, cap);
    #[cfg(not(feature = "active"))]
    {
        let _ = (tenant, wanted, cap);
        0
    }
}
