use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::event::{Event, EventFlags, EventKind};
use crate::id::EventHash;
use crate::limit::{EVENT_BYTES_MAX, FRAME_BYTES_MAX, FRAME_EVENTS_MAX};

fn envelope() -> Envelope<'static> {
    Envelope {
        tenant: TenantId(11),
        project: ProjectId(12),
        key: KeyId::from_number(13).unwrap(),
        lease: LeaseId(14),
        period_start: 1_793_491_200,
        received_at: Micros(1_795_000_000_123_456),
        request_id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
        client_ip: Some(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped()),
        user_agent: "analytics-python/2.3",
    }
}

fn event<'a>(id: &'a str, properties: &'a str) -> Event<'a> {
    Event {
        hash: EventHash::of(ProjectId(12), id),
        kind: EventKind::Track,
        flags: EventFlags::default(),
        timestamp: Micros(1_794_999_999_000_000),
        id,
        name: "order_completed",
        user_id: "user-ß",
        anonymous_id: "",
        properties,
        context: r#"{"library":{"name":"x"}}"#,
        extra: "",
    }
}

fn frame_of(events: &[Event<'_>]) -> bytes::Bytes {
    let mut writer = FrameWriter::new(&envelope(), 0);
    for event in events {
        assert_eq!(writer.push(event), Ok(()));
    }
    writer.finish()
}

#[test]
fn what_is_written_is_read() {
    let events = [event("a", r#"{"n":9007199254740993}"#), event("b", "")];
    let record = frame_of(&events);
    let frame = Frame::parse(&record).unwrap();
    assert_eq!(frame.envelope, envelope());
    assert_eq!(frame.len(), 2);
    assert_eq!(frame.events().collect::<Result<Vec<_>, _>>().unwrap(), events);
}

#[test]
fn the_golden_frame_of_version_1_still_decodes() {
    let golden = include_bytes!("../../golden/frame-v1.bin");
    let expected = [event("a", r#"{"n":9007199254740993}"#), event("b", "")];
    let frame = Frame::parse(golden).unwrap();
    assert_eq!(frame.envelope, envelope());
    assert_eq!(frame.events().collect::<Result<Vec<_>, _>>().unwrap(), expected);
    assert_eq!(frame_of(&expected), golden.as_slice(), "version 1 is written as it always was");
}

fn traced() -> Trace {
    Trace {
        flags: 1,
        trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes(),
        span_id: 0xb7ad_6b71_6920_3331_u64.to_be_bytes(),
    }
}

fn traced_frame_of(events: &[Event<'_>]) -> bytes::Bytes {
    let mut writer = FrameWriter::traced(&envelope(), Some(&traced()), 0);
    for event in events {
        writer.push(event).unwrap();
    }
    writer.finish()
}

#[test]
fn the_golden_frame_of_version_3_still_decodes() {
    let golden = include_bytes!("../../golden/frame-v3.bin");
    let expected = [event("a", r#"{"n":9007199254740993}"#), event("b", "")];
    let frame = Frame::parse(golden).unwrap();
    assert_eq!((frame.envelope, frame.trace), (envelope(), Some(traced())));
    assert_eq!(frame.events().collect::<Result<Vec<_>, _>>().unwrap(), expected);
    assert_eq!(traced_frame_of(&expected), golden.as_slice(), "version 3 is written as it always was");
}

#[test]
fn a_frame_without_a_trace_is_a_frame_of_version_1_and_a_trace_costs_24_bytes() {
    let events = [event("a", "{}"), event("b", "")];
    let mut writer = FrameWriter::traced(&envelope(), None, 0);
    assert!(events.iter().all(|event| writer.push(event).is_ok()));
    let plain = frame_of(&events);
    assert_eq!(writer.finish(), plain);
    assert_eq!(Frame::parse(&plain).unwrap().trace, None);
    let traced = traced_frame_of(&events);
    assert_eq!(traced.len(), plain.len() + 24);
    for len in 0..traced.len() {
        let whole =
            Frame::parse(&traced[..len]).and_then(|frame| frame.events().collect::<Result<Vec<_>, _>>());
        assert!(whole.is_err(), "cut at {len}");
    }
}

#[test]
fn every_truncation_is_an_error_and_never_a_shorter_list() {
    let record = frame_of(&[event("a", "{}"), event("b", "{}")]);
    for len in 0..record.len() {
        let whole =
            Frame::parse(&record[..len]).and_then(|frame| frame.events().collect::<Result<Vec<_>, _>>());
        assert!(whole.is_err(), "cut at {len}");
    }
    let mut longer = record.to_vec();
    longer.push(0);
    let events: Result<Vec<_>, _> = Frame::parse(&longer).unwrap().events().collect();
    assert_eq!(events, Err(FrameError::Lengths));
}

#[test]
fn an_unknown_version_is_named() {
    let mut record = frame_of(&[event("a", "{}")]).to_vec();
    record[0] = 4;
    assert_eq!(Frame::parse(&record).err(), Some(FrameError::Version(4)));
    assert_eq!(Frame::parse(&[]).err(), Some(FrameError::Empty));
}

#[test]
fn a_frame_takes_bytes_up_to_its_limit_and_not_one_more() {
    let half = "x".repeat(400_000);
    let mut writer = FrameWriter::new(&envelope(), 0);
    assert_eq!(writer.push(&event("a", &half)), Ok(()));
    let room = FRAME_BYTES_MAX - frame_of(&[event("a", &half)]).len();
    let fits = "x".repeat(room - encoded_len(&event("b", "")));
    let over = format!("{fits}x");
    assert_eq!(writer.push(&event("b", &over)), Err(PushError::Full));
    assert_eq!(writer.push(&event("b", &fits)), Ok(()));
    assert_eq!(writer.finish().len(), FRAME_BYTES_MAX);
}

#[test]
fn a_frame_takes_events_up_to_its_limit_and_not_one_more() {
    let small = Event { hash: EventHash(1), id: "", name: "", user_id: "", context: "", ..event("", "") };
    // So many events do not fit by bytes today; the bound on the index must hold whatever the layout.
    let fit = (FRAME_BYTES_MAX - frame_of(&[]).len()) / encoded_len(&small);
    assert!(fit < FRAME_EVENTS_MAX);
    let mut writer = FrameWriter::new(&envelope(), 0);
    for _ in 0..fit {
        assert_eq!(writer.push(&small), Ok(()));
    }
    assert_eq!(writer.push(&small), Err(PushError::Full));
    assert_eq!(usize::from(writer.events()), fit);
}

#[test]
fn times_that_no_store_can_hold_are_refused_and_the_last_that_can_is_not() {
    for (micros, good) in [(Micros::RECEIVED_END.0 - 1, true), (Micros::RECEIVED_END.0, false), (-1, false)] {
        let mut writer =
            FrameWriter::new(&Envelope { received_at: Micros(micros), period_start: 0, ..envelope() }, 0);
        assert_eq!(writer.push(&event("a", "")), Ok(()));
        assert_eq!(Frame::parse(&writer.finish()).is_ok(), good, "{micros}");
    }
    for (timestamp, good) in [
        (Micros::CLIENT_MIN, true),
        (Micros(Micros::CLIENT_MIN.0 - 1), false),
        (Micros::CLIENT_MAX, true),
        (Micros(Micros::CLIENT_MAX.0 + 1), false),
    ] {
        let record = frame_of(&[Event { timestamp, ..event("a", "") }]);
        let first = Frame::parse(&record).unwrap().events().next().unwrap();
        assert_eq!(first.is_ok(), good, "{timestamp:?}");
    }
}

#[test]
fn an_event_at_its_limit_is_taken_and_one_over_it_leaves_the_frame_as_it_was() {
    let at_limit = "x".repeat(EVENT_BYTES_MAX - encoded_len(&event("a", "")));
    let over = format!("{at_limit}x");
    let (id, name) = ("i".repeat(256), "n".repeat(65_536));
    let mut writer = FrameWriter::new(&envelope(), 0);
    assert_eq!(writer.push(&event("a", &at_limit)), Ok(()));
    for event in [
        event("a", &over),
        Event { id: &id, ..event("a", "") },
        Event { name: &name, ..event("a", "") },
        Event { user_id: &name, ..event("a", "") },
        Event { anonymous_id: &name, ..event("a", "") },
    ] {
        assert_eq!(writer.push(&event), Err(PushError::OverLimit));
    }
    assert_eq!(writer.push(&Event { id: &id[1..], ..event("a", "") }), Ok(()));
    assert_eq!(writer.push(&Event { name: &name[1..], ..event("a", "") }), Ok(()));
    let record = writer.finish();
    assert_eq!(Frame::parse(&record).unwrap().events().filter(Result::is_ok).count(), 3);
}

#[test]
fn a_long_user_agent_is_cut_on_a_character() {
    let long = "ß".repeat(limit::USER_AGENT_BYTES_MAX);
    let mut writer = FrameWriter::new(&Envelope { user_agent: &long, ..envelope() }, 0);
    assert_eq!(writer.push(&event("a", "{}")), Ok(()));
    let record = writer.finish();
    assert_eq!(Frame::parse(&record).unwrap().envelope.user_agent.len(), limit::USER_AGENT_BYTES_MAX);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(noise in proptest::collection::vec(any::<u8>(), 0..400), at in 0_usize..300) {
        let mut record = frame_of(&[event("a", "{}"), event("b", "{}")]).to_vec();
        let at = at.min(record.len());
        record.splice(at.., noise);
        if let Ok(frame) = Frame::parse(&record) {
            let walked = frame.events().count();
            prop_assert!(walked <= usize::from(frame.len()) + 1);
        }
    }
}

#[test]
fn a_bundle_holds_frames_in_order_and_one_frame_stays_itself() {
    let (first, second) = (frame_of(&[event("a", "{}"), event("b", "{}")]), frame_of(&[event("c", "")]));
    let mut bundle = BundleWriter::default();
    assert!(bundle.is_empty() && bundle.record().is_empty());
    bundle.push(&first);
    assert_eq!(bundle.record(), first);
    let len = bundle.len_with(second.len());
    bundle.push(&second);
    assert_eq!(bundle.record().len(), len);
    let read: Vec<_> =
        frames(bundle.record()).map(|(raw, frame)| (raw.to_vec(), frame.unwrap().len())).collect();
    assert_eq!(read, [(first.to_vec(), 2), (second.to_vec(), 1)]);
    bundle.clear();
    bundle.push(&second);
    assert_eq!(bundle.record(), second);
}

#[test]
fn the_golden_bundle_of_version_2_still_decodes() {
    let golden = include_bytes!("../../golden/bundle-v2.bin");
    let mut bundle = BundleWriter::default();
    bundle.push(&frame_of(&[event("a", r#"{"n":9007199254740993}"#), event("b", "")]));
    bundle.push(&frame_of(&[event("c", "")]));
    assert_eq!(bundle.record(), golden, "version 2 is written as it always was");
    let ids: Vec<_> = frames(golden)
        .flat_map(|(_, frame)| frame.unwrap().events())
        .map(|event| event.unwrap().id)
        .collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn a_bundle_that_is_cut_ends_in_an_error_and_keeps_what_stands_before() {
    let frame = frame_of(&[event("a", "{}")]);
    let mut bundle = BundleWriter::default();
    bundle.push(&frame);
    bundle.push(&frame);
    let record = bundle.record();
    for len in 1..record.len() {
        let read: Vec<_> = frames(&record[..len]).collect();
        let (last, before) = read.split_last().unwrap();
        if len == 1 + 4 + frame.len() {
            assert!(before.is_empty() && last.1.is_ok(), "cut between the two");
            continue;
        }
        let whole = last.1.as_ref().is_ok_and(|frame| frame.events().all(|event| event.is_ok()));
        assert!(!whole, "cut at {len}");
        assert_eq!(before.len(), usize::from(len > 1 + 4 + frame.len()), "cut at {len}");
    }
    assert_eq!(frames(&[]).map(|(_, frame)| frame.err()).collect::<Vec<_>>(), [Some(FrameError::Empty)]);
}

#[test]
fn a_bundle_within_a_bundle_is_not_read() {
    let mut inner = BundleWriter::default();
    inner.push(&frame_of(&[event("a", "")]));
    inner.push(&frame_of(&[event("b", "")]));
    let mut outer = BundleWriter::default();
    outer.push(inner.record());
    outer.push(inner.record());
    assert!(frames(outer.record()).all(|(_, frame)| frame.err() == Some(FrameError::Version(2))));
}
