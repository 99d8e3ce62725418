//! Which share of a tenant's rate each node has, from what was asked of each.
//!
//! A node's *target* is a floor, the same for each live node, and of the rest as much as its part in the demand. All
//! targets of one round add up to the whole at most. A node takes the smaller of its last two targets: it gives up
//! at once, and grows one round later, when the others have given up. So shares never add up to more than the whole,
//! as long as all nodes know each other and none is more than a round behind.
//!
//! The stated exception: a node that joins takes its floor (or, in a tenant that nobody asks for, an even part) in
//! its first round, before the others know of it. They do [`FORGOTTEN_AFTER`] rounds later at the latest.

use std::collections::HashMap;

use schemas::id::TenantId;
use uuid::Uuid;

use crate::tenant::Share;

/// The whole, in parts.
const WHOLE: u32 = Share::WHOLE.ppm();
/// What is shared evenly among the live nodes, so that one that was asked for nothing has something to begin with.
const FLOOR: u32 = 50_000;
/// Rounds for which a silent node still counts as live, with what was last asked of it.
const FORGOTTEN_AFTER: u64 = 3;

/// Events asked of one node, by tenant.
pub type Demand = HashMap<TenantId, u32>;

/// What is known of all nodes, this one included.
#[derive(Debug, Default)]
pub struct Nodes {
    round: u64,
    nodes: HashMap<Uuid, Known>,
    /// Of this node, in the last round.
    targets: HashMap<TenantId, Share>,
    idle: Option<Share>,
}

#[derive(Debug)]
struct Known {
    demand: Demand,
    seen: u64,
}

/// This node's shares after a round.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// In tenants that some node was asked for in this round or the last.
    pub own: HashMap<TenantId, Share>,
    /// In all others.
    pub idle: Option<Share>,
    /// Live nodes.
    pub nodes: usize,
}

impl Nodes {
    /// A round in which `heard` came in: what each node was asked for, this one (`me`) included.
    pub fn round(&mut self, me: Uuid, heard: impl IntoIterator<Item = (Uuid, Demand)>) -> Shares {
        self.round += 1;
        let round = self.round;
        for (node, demand) in heard {
            self.nodes.insert(node, Known { demand, seen: round });
        }
        self.nodes.entry(me).or_insert_with(|| Known { demand: Demand::new(), seen: round }).seen = round;
        self.nodes.retain(|_, known| known.seen + FORGOTTEN_AFTER > round);
        let live = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let targets = self.targets(me, live);
        let idle = Share::of_ppm(WHOLE / live);
        let shares = self.smaller_of_two(&targets, idle, live);
        (self.targets, self.idle) = (targets, Some(idle));
        shares
    }

    fn targets(&self, me: Uuid, live: u32) -> HashMap<TenantId, Share> {
        let mut totals: HashMap<TenantId, u64> = HashMap::new();
        for (tenant, events) in self.nodes.values().flat_map(|known| &known.demand) {
            *totals.entry(*tenant).or_default() += u64::from(*events);
        }
        let own = self.nodes.get(&me).map(|known| &known.demand);
        let target = |(tenant, total): (TenantId, u64)| {
            let asked = own.and_then(|own| own.get(&tenant)).copied().unwrap_or(0);
            let part = u64::from(WHOLE - FLOOR) * u64::from(asked) / total.max(1);
            (tenant, Share::of_ppm(FLOOR / live + u32::try_from(part).unwrap_or(0)))
        };
        totals.into_iter().map(target).collect()
    }

    fn smaller_of_two(&self, targets: &HashMap<TenantId, Share>, idle: Share, live: u32) -> Shares {
        let first = self.idle.is_none();
        let idle_before = self.idle.unwrap_or(idle);
        let before = |tenant: &TenantId| match self.targets.get(tenant) {
            Some(share) => *share,
            // Who joins takes no more than the floor of what others are asked for.
            None if first => Share::of_ppm(FLOOR / live),
            None => idle_before,
        };
        let mut own: HashMap<TenantId, Share> =
            targets.iter().map(|(tenant, share)| (*tenant, (*share).min(before(tenant)))).collect();
        for (tenant, share) in &self.targets {
            own.entry(*tenant).or_insert_with(|| (*share).min(idle));
        }
        Shares { own, idle: Some(idle.min(idle_before)), nodes: self.nodes.len() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TENANT: TenantId = TenantId(1);

    fn demand(events: u32) -> Demand {
        if events == 0 { Demand::new() } else { Demand::from([(TENANT, events)]) }
    }

    fn share(shares: &Shares) -> u32 {
        shares.own.get(&TENANT).copied().or(shares.idle).unwrap().ppm()
    }

    /// Runs nodes over rounds of demand; `late[i]` nodes act a round behind the others. The shares in force after
    /// each step.
    fn run(demands: &[Vec<u32>], late: &[bool]) -> Vec<Vec<u32>> {
        let nodes = late.len();
        let id = |node: usize| Uuid::from_u128(node as u128 + 1);
        let heard = |round: usize| (0..nodes).map(move |n| (id(n), demand(demands[round][n])));
        let mut views: Vec<Nodes> = (0..nodes).map(|_| Nodes::default()).collect();
        let mut force = vec![0; nodes];
        let mut all = vec![];
        for round in 0..demands.len() {
            for is_late in [false, true] {
                for node in (0..nodes).filter(|n| late[*n] == is_late) {
                    force[node] = share(&views[node].round(id(node), heard(round)));
                    all.push(force.clone());
                }
            }
        }
        all
    }

    #[test]
    fn a_node_alone_has_everything() {
        assert_eq!(run(&[vec![0], vec![7], vec![0]], &[false]).concat(), [FLOOR.max(WHOLE); 3]);
    }

    #[test]
    fn shares_follow_demand_and_leave_a_floor() {
        let shares = run(&[vec![300, 100], vec![300, 100], vec![300, 100]], &[false, false]);
        assert_eq!(shares.last().unwrap(), &[25_000 + 712_500, 25_000 + 237_500]);
        let shares = run(&[vec![300, 0], vec![300, 0], vec![300, 0]], &[false, false]);
        assert_eq!(shares.last().unwrap(), &[975_000, 25_000]);
        let shares = run(&[vec![0, 0], vec![0, 0]], &[false, false]);
        assert_eq!(shares.last().unwrap(), &[500_000, 500_000]);
    }

    #[test]
    fn a_silent_node_counts_for_three_rounds_and_no_longer() {
        let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut nodes = Nodes::default();
        for _ in 0..3 {
            nodes.round(me, [(me, demand(1)), (other, demand(1))]);
        }
        let rounds: Vec<u32> = (0..4).map(|_| share(&nodes.round(me, [(me, demand(1))]))).collect();
        assert_eq!(rounds, [500_000, 500_000, 500_000, WHOLE]);
    }

    #[test]
    fn what_a_joining_node_has_on_top_is_its_floor_until_the_next_round() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (mut first, mut second) = (Nodes::default(), Nodes::default());
        let alone = (0..3).map(|_| share(&first.round(one, [(one, demand(10))]))).max().unwrap();
        let joined = share(&second.round(other, [(one, demand(10))]));
        assert_eq!((alone, joined), (WHOLE, FLOOR / 2));
        for _ in 0..4 {
            let heard = || [(one, demand(10)), (other, demand(30))];
            let both = share(&first.round(one, heard())) + share(&second.round(other, heard()));
            assert!(both <= WHOLE, "{both}");
        }
    }

    #[test]
    fn who_joins_has_the_floor_of_what_others_are_asked_for() {
        let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let shares = Nodes::default().round(me, [(me, demand(9)), (other, demand(1))]);
        assert_eq!(share(&shares), FLOOR / 2);
    }

    proptest! {
        #[test]
        fn shares_never_add_up_to_more_than_the_whole(
            demands in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![Just(0_u32), 0..2_000_u32], 4),
                1..20,
            ),
            late in proptest::collection::vec(any::<bool>(), 4),
        ) {
            for force in run(&demands, &late) {
                prop_assert!(force.iter().sum::<u32>() <= WHOLE, "{force:?}");
            }
        }
    }
}
