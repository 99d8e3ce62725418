//! The cases of JSONTestSuite, as a body and as a value within an event, in each dialect.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

const CASES: &str = include_str!("../../../golden/foreign/json_test_suite.txt");
/// What weir takes on purpose, since Python's SDKs send it: it is stored as `null`.
const TAKEN: [&str; 3] = ["n_number_NaN", "n_number_infinity", "n_number_minus_infinity"];

type Read = for<'a> fn(&'a [u8]) -> Result<Batch<'a>, Problem>;

const DIALECTS: [(&str, Read); 5] = [
    ("native", |body| native(body, NativeShape::Json)),
    ("segment", |body| segment(body, None)),
    ("segment's track", |body| segment(body, Some(EventKind::Track))),
    ("posthog", |body| posthog(body, Micros(0), None)),
    ("cloudevents", cloudevents),
];

/// Name and bytes of each case.
fn cases() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let lines = CASES.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let pieces = words.map(|piece| {
            let (piece, times) = piece.split_once('*').unwrap_or((piece, "1"));
            STANDARD.decode(piece).unwrap().repeat(times.parse().unwrap())
        });
        (name, pieces.collect::<Vec<_>>().concat())
    })
}

/// A good event of that dialect, with a member in its properties.
fn event_with(dialect: &str, value: &[u8]) -> Vec<u8> {
    let (before, after): (&[u8], &[u8]) = match dialect {
        "segment" => (br#"{"batch":[{"type":"track","event":"e","properties":{"p":"#, b"}}]}"),
        "cloudevents" => (br#"{"id":"1","source":"s","type":"e","data":{"p":"#, b"}}"),
        _ => (br#"{"event":"e","properties":{"p":"#, b"}}"),
    };
    [before, value, after].concat()
}

#[test]
fn all_cases_are_there() {
    let count = |prefix: &str| cases().filter(|(name, _)| name.starts_with(prefix)).count();
    assert_eq!((count("y_"), count("n_"), count("i_")), (95, 188, 35));
    let (_, deep) = cases().find(|(name, _)| *name == "n_structure_open_array_object").unwrap();
    assert_eq!(deep.len(), 250_001);
}

#[test]
fn as_a_body_what_is_json_is_called_json_and_what_is_none_is_refused() {
    for (name, body) in cases() {
        for (dialect, read) in DIALECTS {
            let result = read(&body);
            let code = result.as_ref().err().map(|problem| problem.code);
            match name.get(..2) {
                Some("y_") => assert_ne!(code, Some(Code::InvalidJson), "{name} {dialect}"),
                Some("n_") if !TAKEN.contains(&name) => {
                    assert!(result.is_err(), "{name} {dialect}: {result:?}")
                }
                _ => {}
            }
        }
    }
}

#[test]
fn as_a_value_what_is_json_is_kept_and_what_is_none_is_refused() {
    for (name, value) in cases() {
        for (dialect, read) in DIALECTS {
            let body = event_with(dialect, &value);
            let result = read(&body);
            match (name.get(..2), &result) {
                (Some("y_"), Ok(batch)) => {
                    assert_eq!((batch.events.len(), batch.rejected.len()), (1, 0), "{name} {dialect}");
                }
                (Some("y_"), Err(problem)) => panic!("{name} {dialect}: {problem:?}"),
                (Some("n_"), Ok(_)) => assert!(TAKEN.contains(&name), "{name} {dialect}: {result:?}"),
                _ => {}
            }
            // Whatever is taken can be read by what stands behind ingest.
            for event in result.iter().flat_map(|batch| &batch.events) {
                parsed(&event.properties);
            }
        }
    }
}
