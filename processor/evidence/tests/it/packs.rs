use evidence::{
    Body, Contents, Expected, Hash, NotWritten, Period, Report, Signer, Span, Why, Writer, verify,
};
use schemas::id::TenantId;

use crate::made::{HOUR, Hours, PERIOD, Said, TENANT, key, sample};

#[test]
fn a_pack_says_what_its_hours_hold() {
    for contents in [Contents::Rows, Contents::Hashes] {
        let (hours, header) = sample(contents);
        let public = key(1).public();
        let expected = Expected {
            keys: vec![key(2).public(), public],
            tenant: Some(TENANT),
            after: Some(Hash::NONE),
            head: Some(hours.head()),
        };
        let report = verify(hours.pack(&header).as_slice(), &expected).unwrap();
        let is_of_rows = u64::from(contents == Contents::Rows);
        let said = Report {
            tenant: TENANT,
            contents,
            keys: vec![Signer { id: public.id(), public }],
            expected_key: true,
            first: 1,
            last: 4,
            seals: 4,
            outside: 1,
            late: 1,
            previous: Hash::NONE,
            head: hours.head(),
            hours: Some(Span { from: HOUR, to: HOUR + 7_200 }),
            events: 10,
            quantity: 10,
            erased: is_of_rows,
            unhashed: is_of_rows,
            periods: vec![
                Period { start: PERIOD, events: 7, quantity: 7 },
                Period { start: HOUR + 3_600, events: 3, quantity: 3 },
            ],
        };
        assert_eq!(report, said);
    }
}

#[test]
fn packs_continue_one_another() {
    let (hours, header) = sample(Contents::Hashes);
    let first = Hours { key: key(1), seals: hours.seals[..2].to_vec() };
    let rest = Hours { key: key(1), seals: hours.seals[2..].to_vec() };
    let head = verify(first.pack(&header).as_slice(), &Expected::default()).unwrap().head;
    let after = |after| Expected { after: Some(after), ..Expected::default() };
    let report = verify(rest.pack(&header).as_slice(), &after(head)).unwrap();
    assert_eq!((report.first, report.last, report.previous), (3, 4, head));
    // Of a late seal whose hour was sealed in another pack nobody can say here that it is one.
    assert_eq!(report.late, 0);
    let refused = verify(rest.pack(&header).as_slice(), &after(Hash::NONE)).unwrap_err();
    assert!(matches!(refused.why, Why::After), "{refused}");
}

#[test]
fn a_pack_without_seals_proves_that_nothing_is_in_it() {
    let (hours, header) = sample(Contents::Hashes);
    let empty = Writer::new(Vec::new(), header).unwrap().finish().unwrap();
    let report = verify(empty.as_slice(), &Expected::default()).unwrap();
    assert_eq!((report.seals, report.events, report.head, report.hours), (0, 0, Hash::NONE, None));
    for expected in [
        Expected { after: Some(hours.head()), ..Expected::default() },
        Expected { head: Some(hours.head()), ..Expected::default() },
    ] {
        verify(empty.as_slice(), &expected).unwrap_err();
    }
}

#[test]
fn nothing_is_written_that_would_be_refused() {
    let (hours, header) = sample(Contents::Rows);
    let signed = |at: usize| hours.key.sign(hours.seals[at].0.clone());
    let writer = || {
        let mut writer = Writer::new(Vec::new(), header.clone()).unwrap();
        writer.seal(&signed(0)).unwrap();
        writer
    };
    let event = Said::nth(0, HOUR, PERIOD);
    let (leaf, row) = (event.event_in(Contents::Hashes).leaf, event.row());
    assert!(matches!(writer().seal(&signed(1)), Err(NotWritten::Root(1))));
    assert!(matches!(writer().finish(), Err(NotWritten::Root(1))));
    for body in [Body::None, Body::Row(&row[1..])] {
        assert!(matches!(writer().leaf(&leaf, body), Err(NotWritten::Row)));
    }
    let mut twice = writer();
    twice.leaf(&leaf, Body::Row(&row)).unwrap();
    assert!(matches!(twice.leaf(&leaf, Body::Erased), Err(NotWritten::Leaf(_))));
    let mut other = signed(0);
    other.seal.tenant = TenantId(8);
    let new = || Writer::new(Vec::new(), header.clone()).unwrap();
    assert!(matches!(new().seal(&other), Err(NotWritten::Tenant(1))));
    assert!(matches!(new().seal(&key(2).sign(hours.seals[0].0.clone())), Err(NotWritten::Key(1, _))));
    assert!(matches!(new().leaf(&leaf, Body::Row(&row)), Err(NotWritten::Outside)));
    let mut outside = new();
    outside.seal(&signed(3)).unwrap();
    assert!(matches!(outside.leaf(&leaf, Body::Row(&row)), Err(NotWritten::Outside)));
    assert!(matches!(outside.seal(&signed(0)), Err(NotWritten::Chain(1))));
    let mut header = header.clone();
    header.to += 1;
    assert!(matches!(Writer::new(Vec::new(), header), Err(NotWritten::Hours)));
}
