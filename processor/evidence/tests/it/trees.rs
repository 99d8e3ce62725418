use evidence::{Found, Hash, Leaf, NotPushed, Place, Prover, Root, Tree};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use schemas::content::ContentHash;
use schemas::id::{EventHash, ProjectId};
use sha2::{Digest, Sha256};

pub(crate) fn leaf(event: u128, quantity: u64) -> Leaf {
    Leaf { project: ProjectId(1), event: EventHash(event), contents: ContentHash(event ^ 5), quantity }
}

/// Section 2.1 of RFC 6962, as it stands there: of the whole list, with no stack.
fn naive(leaves: &[Leaf]) -> Root {
    let hash = |parts: &[&[u8]]| Hash(Sha256::digest(parts.concat()).into());
    if let [leaf] = leaves {
        let hash = hash(&[
            &[0],
            &leaf.project.0.to_be_bytes(),
            &leaf.event.0.to_be_bytes(),
            &leaf.contents.0.to_be_bytes(),
            &leaf.quantity.to_be_bytes(),
        ]);
        return Root { events: 1, quantity: leaf.quantity, hash };
    }
    let mut split = 1;
    while split * 2 < leaves.len() {
        split *= 2;
    }
    let (left, right) = (naive(&leaves[..split]), naive(&leaves[split..]));
    let hash = hash(&[
        &[1],
        &left.events.to_be_bytes(),
        &left.quantity.to_be_bytes(),
        &left.hash.0,
        &right.events.to_be_bytes(),
        &right.quantity.to_be_bytes(),
        &right.hash.0,
    ]);
    Root { events: left.events + right.events, quantity: left.quantity + right.quantity, hash }
}

fn root(leaves: &[Leaf]) -> Option<Root> {
    let mut tree = Tree::new();
    leaves.iter().for_each(|leaf| tree.push(leaf).unwrap());
    tree.finish()
}

prop_compose! {
    fn leaves()(all in btree_map((-3_i64..4, any::<u128>()), (any::<u128>(), 0_u64..1 << 40), 1..70)) -> Vec<Leaf> {
        let leaf = |((project, event), (contents, quantity))| Leaf {
            project: ProjectId(project),
            event: EventHash(event),
            contents: ContentHash(contents),
            quantity,
        };
        all.into_iter().map(leaf).collect()
    }
}

proptest! {
    #[test]
    fn a_tree_has_the_root_that_rfc_6962_gives_its_list(leaves in leaves()) {
        prop_assert_eq!(root(&leaves), Some(naive(&leaves)));
    }

    #[test]
    fn each_leaf_and_each_absent_one_leads_to_the_root(leaves in leaves(), at: prop::sample::Index, absent: u128) {
        let expected = naive(&leaves);
        let sought = at.get(&leaves);
        let (found_root, found) = proved(&leaves, sought.project, sought.event);
        prop_assert_eq!(found_root, expected);
        let Found::Present(place) = found else { return Err(TestCaseError::fail("it was there")) };
        prop_assert_eq!(&place.leaf, sought);
        prop_assert_eq!(usize::try_from(place.index).unwrap(), at.index(leaves.len()));
        prop_assert_eq!(place.root(expected.events), Some(expected));

        let absent = (sought.project, EventHash(absent));
        prop_assume!(!leaves.iter().any(|leaf| leaf.place() == absent));
        let Found::Absent { left, right } = proved(&leaves, absent.0, absent.1).1 else {
            return Err(TestCaseError::fail("it was not there"));
        };
        let behind = leaves.iter().filter(|leaf| leaf.place() < absent).count();
        prop_assert_eq!(left.as_ref().map(|place| place.leaf), behind.checked_sub(1).map(|at| leaves[at]));
        prop_assert_eq!(right.as_ref().map(|place| place.leaf), leaves.get(behind).copied());
        for place in [left, right].into_iter().flatten() {
            prop_assert_eq!(place.root(expected.events), Some(expected));
        }
    }

    #[test]
    fn a_place_that_was_changed_leads_elsewhere(
        leaves in leaves(), at: prop::sample::Index, step: prop::sample::Index, by in 1_u64..1 << 20
    ) {
        let expected = naive(&leaves);
        let sought = at.get(&leaves);
        let Found::Present(place) = proved(&leaves, sought.project, sought.event).1 else { unreachable!() };
        let mut others = vec![place.clone(); 6];
        others[0].leaf.quantity += by;
        others[1].leaf.contents.0 ^= u128::from(by);
        others[2].index ^= by;
        others[3].path.push(expected);
        if !place.path.is_empty() {
            let step = step.index(place.path.len());
            others[4].path.remove(step);
            // The sum stays the same, the parts do not.
            others[5].path[step].quantity += by;
            others[5].leaf.quantity = others[5].leaf.quantity.wrapping_sub(by);
            others.push(Place { path: place.path[1..].to_vec(), ..place.clone() });
        }
        for other in others.into_iter().filter(|other| *other != place) {
            prop_assert_ne!(other.root(expected.events), Some(expected), "{:?}", other);
        }
        prop_assert_ne!(place.root(expected.events + 1), Some(expected));
        prop_assert_eq!(place.root(0), None);
    }

    #[test]
    fn no_place_panics(index: u64, events: u64, siblings in vec((any::<u64>(), any::<u64>()), 0..70)) {
        let path = siblings
            .into_iter()
            .map(|(events, quantity)| Root { events, quantity, hash: Hash::NONE })
            .collect();
        let root = Place { leaf: leaf(1, 1), index, path }.root(events);
        prop_assert!(root.is_none_or(|root| root.events == events));
    }
}

fn proved(leaves: &[Leaf], project: ProjectId, event: EventHash) -> (Root, Found) {
    let mut prover = Prover::new(project, event);
    leaves.iter().for_each(|leaf| prover.push(leaf).unwrap());
    prover.finish().unwrap()
}

#[test]
fn leaves_come_in_their_order_and_once() {
    let mut tree = Tree::new();
    tree.push(&leaf(5, 1)).unwrap();
    assert_eq!(tree.push(&leaf(5, 2)), Err(NotPushed::Twice));
    assert_eq!(tree.push(&leaf(4, 1)), Err(NotPushed::OutOfOrder));
    let other_project = Leaf { project: ProjectId(0), ..leaf(9, 1) };
    assert_eq!(tree.push(&other_project), Err(NotPushed::OutOfOrder));
    tree.push(&leaf(6, u64::MAX - 1)).unwrap();
    assert_eq!(tree.push(&leaf(7, 1)), Err(NotPushed::Overflow));
    tree.push(&leaf(8, 0)).unwrap();
    // What was refused left nothing behind.
    assert_eq!(tree.finish(), root(&[leaf(5, 1), leaf(6, u64::MAX - 1), leaf(8, 0)]));
    assert_eq!(Tree::new().finish(), None);
}

#[test]
fn a_subtree_is_never_taken_for_a_leaf() {
    let leaves: Vec<Leaf> = (1..=4).map(|n| leaf(n, 1)).collect();
    let (whole, left) = (naive(&leaves), naive(&leaves[..2]));
    // A tree of two leaves, the first of which would be the hash of two.
    let Found::Present(place) = proved(&leaves, ProjectId(1), EventHash(3)).1 else { unreachable!() };
    let shorter = Place { path: vec![left], index: 1, ..place };
    assert_eq!(shorter.root(2), None, "a sibling of two leaves in a tree of two");
    assert_eq!(shorter.root(4), None);
    assert_ne!(shorter.root(3), Some(whole));
    // The bytes of two subtrees hash to something else than those of a leaf.
    assert_ne!(left.hash, Hash(Sha256::digest([&[0][..], &left.hash.0].concat()).into()));
}
