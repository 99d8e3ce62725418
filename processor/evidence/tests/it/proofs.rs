use evidence::{Contents, Expected, Found, Proof, Sought, Why, prove, verify_proof};
use proptest::prelude::*;
use schemas::id::{ProjectId, TenantId};

use crate::made::{Said, TENANT, key, sample};
use crate::tampers::expected;

/// What each seal of the sample says of the event, and its event's proof in JSON.
pub(crate) fn proofs(project: i64, id: &str) -> Vec<Proof> {
    let (hours, header) = sample(Contents::Hashes);
    let mut proofs = Vec::new();
    let pack = hours.pack(&header);
    prove(pack.as_slice(), &expected(), &Sought::of(ProjectId(project), id), |proof| proofs.push(proof))
        .unwrap();
    proofs
}

pub(crate) fn id(n: u64) -> String {
    Said::nth(n, 0, 0).id
}

fn is_present(proof: &Proof) -> bool {
    matches!(proof.found, Found::Present(_))
}

fn text(proof: &Proof) -> String {
    serde_json::to_string(proof).unwrap()
}

#[test]
fn an_event_is_in_one_seal_and_in_no_other() {
    for n in 0..10 {
        let found = proofs(1 + i64::try_from(n % 2).unwrap(), &id(n));
        let there: Vec<bool> = found.iter().map(is_present).collect();
        let expected_there = [n < 5, (5..8).contains(&n), n >= 8];
        assert_eq!(there, expected_there, "event {n}");
        for proof in &found {
            let proven = verify_proof(text(proof).as_bytes(), &expected()).unwrap();
            assert_eq!((proven.tenant, proven.is_present), (TENANT, is_present(proof)));
            assert_eq!(proven.quantity, is_present(proof).then_some(1));
            assert_eq!(proven.event_id, Some(id(n)));
        }
    }
    // The same id in another project is another event; so is one that nobody sent.
    assert!(!proofs(2, &id(0)).iter().any(is_present));
    assert!(!proofs(1, "never sent").iter().any(is_present));
}

#[test]
fn a_proof_is_of_what_it_names_and_of_whom() {
    let proof = proofs(1, &id(0)).remove(0);
    let refused =
        |proof: &Proof, expected: &Expected| verify_proof(text(proof).as_bytes(), expected).unwrap_err();
    let other = Expected { keys: vec![key(2).public()], ..Expected::default() };
    assert!(matches!(refused(&proof, &other), Why::OtherKey(_)));
    let other = Expected { tenant: Some(TenantId(8)), ..Expected::default() };
    assert!(matches!(refused(&proof, &other), Why::Tenant { .. }));
    let changed = |change: fn(&mut Proof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        refused(&changed, &Expected::default())
    };
    assert!(matches!(changed(|proof| proof.public = key(2).public()), Why::Misnamed(_)));
    assert!(matches!(changed(|proof| proof.signed.seal.root.events += 1), Why::Signature(_)));
    assert!(matches!(changed(|proof| proof.sought.event_id = Some("other".to_owned())), Why::Event));
    assert!(matches!(changed(|proof| proof.sought = Sought::of(ProjectId(1), "other")), Why::Event));
    let path = |change: fn(&mut evidence::Place)| {
        let mut changed = proof.clone();
        let Found::Present(place) = &mut changed.found else { unreachable!() };
        change(place);
        assert!(matches!(refused(&changed, &Expected::default()), Why::Path), "{changed:?}");
    };
    path(|place| place.index += 1);
    path(|place| place.leaf.contents.0 += 1);
    path(|place| place.leaf.quantity += 1);
    path(|place| place.path.truncate(1));
    path(|place| place.path[0].quantity += 1);
    path(|place| place.path[0].events += 1);
    path(|place| place.path[0].hash.0[0] ^= 1);
}

#[test]
fn only_neighbours_prove_that_an_event_is_absent() {
    let all: Vec<Proof> = (0..5).map(|n| proofs(1 + n % 2, &id(n.unsigned_abs())).remove(0)).collect();
    let mut places: Vec<evidence::Place> = all
        .iter()
        .map(|proof| match &proof.found {
            Found::Present(place) => place.clone(),
            Found::Absent { .. } => panic!("{proof:?}"),
        })
        .collect();
    places.sort_by_key(|place| place.index);
    for (absent, project) in [("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 0), ("f", 3)] {
        let proof = proofs(project, absent).remove(0);
        verify_proof(text(&proof).as_bytes(), &expected()).unwrap();
        let ends: Vec<Option<evidence::Place>> = places.iter().cloned().map(Some).chain([None]).collect();
        let mut good = 0;
        for left in &ends {
            for right in &ends {
                let found = Found::Absent { left: left.clone(), right: right.clone() };
                let other = Proof { found, ..proof.clone() };
                match verify_proof(text(&other).as_bytes(), &expected()) {
                    Ok(_) => {
                        good += 1;
                        assert_eq!(other, proof);
                    }
                    Err(why) => assert!(matches!(why, Why::Neighbours), "{why}"),
                }
            }
        }
        assert_eq!(good, 1, "{absent}");
    }
    // An event that is there can't be proved to be absent.
    let sought = proofs(1, &id(0)).remove(0).sought;
    for pair in places.windows(2) {
        let found = Found::Absent { left: Some(pair[0].clone()), right: Some(pair[1].clone()) };
        let lie = Proof { found, sought: sought.clone(), ..all[0].clone() };
        assert!(matches!(verify_proof(text(&lie).as_bytes(), &expected()), Err(Why::Neighbours)));
    }
}

proptest! {
    #[test]
    fn no_change_of_a_proof_makes_it_panic_or_say_something_else(
        absent: bool, at: prop::sample::Index, byte: u8, is_cut: bool
    ) {
        let proof = proofs(1, if absent { "absent" } else { "event-0" }).remove(0);
        let good = verify_proof(text(&proof).as_bytes(), &expected()).unwrap();
        let mut bytes = text(&proof).into_bytes();
        let at = at.index(bytes.len());
        if is_cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        if let Ok(proven) = verify_proof(&bytes, &expected()) {
            // White space, at most.
            prop_assert_eq!(proven, good);
        }
    }
}
