//! The keys of Postgres's advisory locks: all of them, so that no two locks share a key by accident.
//!
//! Postgres keeps keys of one number apart from keys of two. Keys of one number begin with "weir" in ASCII, so they
//! stand outside the 32 bits in which the keys lie that SQL makes with `hashtext`. The migrations hold a lock of sqlx's
//! as well, for as long as they run; sqlx makes its key from the database's name.

/// `(ROWS, partition)`: held alone by a process that repairs rows of the partition below its cursor, until it is done;
/// shared by a proof, for as long as it reads.
pub const ROWS: i32 = 0x7765_6972;

/// `(ROWS, RECONCILE)`: held by the one process that reconciles, for a run: seconds to minutes. No partition has this
/// number.
pub const RECONCILE: i32 = -1;

/// `(IDEMPOTENT, first four bytes of the request's id)`: held by a request with an idempotency key until its
/// transaction ends. Two requests that share the bytes by accident hinder each other for that long: one is asked to
/// come again.
pub const IDEMPOTENT: i32 = 0x7765_6973;

/// Held alone by an eraser for the transaction that begins or counts a round, some milliseconds; shared by a process
/// that brings events of the log back, from before it reads the erasures until it has inserted the rows.
pub const ERASURE: i64 = 0x77_65_69_72_01;

/// Held by the eraser at work, for all rounds that wait: up to hours. It spares work; no promise depends on it.
pub const ERASER_TURN: i64 = 0x77_65_69_72_02;

/// Held by the process that rolls up hours, for one look: seconds, or minutes after a rebuild. It spares work, too.
pub const ROLLUP_TURN: i64 = 0x77_65_69_72_03;

/// Held by the process that seals hours, for one look: seconds to minutes. Numbers of seals are unique without it.
pub const SEALER_TURN: i64 = 0x77_65_69_72_06;

/// Held by a process that makes or rotates keys of access tokens, until its transaction ends: some milliseconds.
pub const SIGNING_KEY: i64 = 0x77_65_69_72_04;

/// Held by who makes or changes a plan, from before the plan's row is looked for until the transaction ends: some
/// milliseconds. A plan that is not there yet has no row that could be locked.
pub const PLANS: i64 = 0x77_65_69_72_05;

/// In SQL, as `hashtext` of this text: held by each transaction that changes a plan, tenant or key, from its first
/// change
/// to its end, so that change numbers become visible in their order.
pub const CHANGE_NUMBER: &str = "weir.change_number";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn no_two_locks_share_a_key() {
        let keys = [ERASURE, ERASER_TURN, ROLLUP_TURN, SEALER_TURN, SIGNING_KEY, PLANS];
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key), "{key:#x}");
            assert!(i32::try_from(*key).is_err(), "{key:#x} may be a hashtext");
        }
        assert!(u32::try_from(RECONCILE).is_err(), "a partition may have this number");
    }

    #[test]
    fn sql_holds_the_lock_of_this_name_and_no_other() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
        let mut held = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            for line in fs::read_to_string(&path).unwrap().lines().filter(|line| line.contains("advisory")) {
                let key = format!("pg_advisory_xact_lock(hashtext('{CHANGE_NUMBER}'))");
                assert!(line.contains(&key), "{}: {line}", path.display());
                held += 1;
            }
        }
        assert!(held > 0);
    }
}
