//! CPU time, as Linux reports it.

use std::fs;

/// Of the clock in which Linux reports a process's CPU time.
const MS_PER_TICK: u64 = 10;

/// CPU time of this process so far, user and system, of all its threads; `None` where there is no `/proc`.
#[must_use]
pub fn process_ms() -> Option<u64> {
    process_ms_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// CPU time of this thread so far; `None` where there is no `/proc`.
#[must_use]
pub fn thread_ns() -> Option<u64> {
    fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// proc_pid_stat(5): fields 14 and 15, counted from behind the name, which may hold spaces and brackets.
fn process_ms_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) * MS_PER_TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (we) ir (x) S 1 2 3 4 5 6 7 8 9 10 123 77 0 0 20 0";
        assert_eq!(process_ms_of(stat), Some(2_000));
        assert_eq!(process_ms_of("nonsense"), None);
    }
}
