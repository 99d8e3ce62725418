//! Which runs are merged, so that look-ups have few to ask, and no id is rewritten often.

use std::ops::Range;

/// So many neighbours of about one size become one.
const TIER: usize = 8;
/// More runs of a span become one, whatever their sizes.
const MANY: usize = 40;

/// A run, as far as the choice depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) span: i64,
    pub(super) ids: u64,
}

/// The runs to merge next, of `runs` in order of age, oldest first. Only neighbours of one span of receipt are merged,
/// so that old ids leave the disk by whole files. A span that is over becomes one run; the one before the youngest
/// ids, `current`, is kept in tiers: each a `TIER` times larger than the one below, of which the lowest is all runs up
/// to `smallest` ids.
pub(super) fn choose(runs: &[Size], current: i64, smallest: u64) -> Option<Range<usize>> {
    let mut start = 0;
    while let Some(first) = runs.get(start) {
        let end = start + runs[start..].iter().take_while(|run| run.span == first.span).count();
        if first.span < current && end - start > 1 {
            return Some(start..end);
        }
        if first.span >= current
            && let Some(tier) = full_tier(&runs[start..end], smallest)
        {
            return Some(start + tier.start..start + tier.end);
        }
        start = end;
    }
    None
}

/// Neighbours up to the youngest of their tier, if there are `TIER` of that tier; smaller ones between them go along.
fn full_tier(runs: &[Size], smallest: u64) -> Option<Range<usize>> {
    if runs.len() > MANY {
        return Some(0..runs.len());
    }
    let (mut above, mut ids_max) = (0, smallest.max(1));
    loop {
        let start = runs.len() - runs.iter().rev().take_while(|run| run.ids <= ids_max).count();
        let of_tier = || runs[start..].iter().filter(|run| run.ids > above);
        if of_tier().count() >= TIER {
            let smaller = runs.iter().rev().take_while(|run| run.ids <= above).count();
            return Some(start..runs.len() - smaller);
        }
        if start == 0 {
            return None;
        }
        (above, ids_max) = (ids_max, ids_max.saturating_mul(TIER as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(of: &[(i64, u64)]) -> Vec<Size> {
        of.iter().map(|(span, ids)| Size { span: *span, ids: *ids }).collect()
    }

    #[test]
    fn the_runs_of_a_span_that_is_over_become_one() {
        assert_eq!(choose(&sizes(&[(1, 9), (2, 5), (2, 800), (3, 1)]), 3, 10), Some(1..3));
        assert_eq!(choose(&sizes(&[(1, 9), (2, 5), (3, 1), (3, 1)]), 3, 10), None);
    }

    #[test]
    fn eight_of_a_tier_are_merged_and_seven_are_not() {
        let eight: Vec<Size> = sizes(&[(3, 10); 8]);
        assert_eq!(choose(&eight, 3, 10), Some(0..8));
        assert_eq!(choose(&eight[1..], 3, 10), None);
        let above = [sizes(&[(3, 80)]), eight.clone()].concat();
        assert_eq!(choose(&above, 3, 10), Some(1..9));
        let between = [sizes(&[(3, 80); 7]), sizes(&[(3, 10), (3, 80), (3, 10)])].concat();
        assert_eq!(choose(&between, 3, 10), Some(0..9));
        assert_eq!(choose(&between[1..], 3, 10), None);
    }

    #[test]
    fn more_than_forty_of_a_span_become_one() {
        let growing: Vec<Size> = (0..41).rev().map(|n| Size { span: 3, ids: 10 << n }).collect();
        assert_eq!(choose(&growing, 3, 10), Some(0..41));
        assert_eq!(choose(&growing[1..], 3, 10), None);
    }

    #[test]
    fn the_number_of_runs_stays_bounded_and_ids_are_seldom_rewritten() {
        let (mut runs, mut rewritten, mut most) = (Vec::new(), 0, 0);
        for _ in 0..10_000 {
            runs.push(Size { span: 0, ids: 10 });
            while let Some(range) = choose(&runs, 0, 10) {
                let ids = runs[range.clone()].iter().map(|run| run.ids).sum();
                rewritten += ids;
                runs.splice(range, [Size { span: 0, ids }]);
            }
            most = most.max(runs.len());
        }
        assert!(most <= 7 * 5, "{most}");
        assert!(rewritten <= 5 * 100_000, "{rewritten}");
        assert!(most >= 20, "{most}: so many are to be expected");
    }
}
