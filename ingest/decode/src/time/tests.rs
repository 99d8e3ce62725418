use chrono::{DateTime, Datelike, SecondsFormat};
use proptest::prelude::*;

use super::*;

const AT_9_30: Micros = Micros(1_793_871_000_000_000);

#[test]
fn rfc_3339_is_read_in_every_form_that_it_allows() {
    for text in [
        "2026-11-05T09:30:00Z",
        "2026-11-05t09:30:00z",
        "2026-11-05 09:30:00Z",
        "2026-11-05T09:30:00.0Z",
        "2026-11-05T09:30:00.000000000000Z",
        "2026-11-05T09:30:00+00:00",
        "2026-11-05T09:30:00-00:00",
        "2026-11-05T10:30:00+01:00",
        "2026-11-05T04:00:00-05:30",
        "2026-11-06T09:29:00+23:59",
    ] {
        assert_eq!(rfc3339(text), Some(AT_9_30), "{text}");
        assert_eq!(iso8601(text), Some(AT_9_30), "{text}");
    }
}

#[test]
fn fractions_are_kept_to_the_microsecond() {
    for (fraction, micros) in [
        ("1", 100_000),
        ("123", 123_000),
        ("123456", 123_456),
        ("1234567", 123_456),
        ("123456789", 123_456),
        ("999999999", 999_999),
        ("000001", 1),
    ] {
        let text = format!("2026-11-05T09:30:00.{fraction}Z");
        assert_eq!(rfc3339(&text), Some(Micros(AT_9_30.0 + micros)), "{text}");
    }
    assert_eq!(rfc3339("1969-12-31T23:59:59.999999Z"), Some(Micros(-1)));
}

#[test]
fn days_that_do_not_exist_are_not_read() {
    for (date, exists) in [
        ("2024-02-29", true),
        ("2023-02-29", false),
        ("2000-02-29", true),
        ("1900-02-29", false),
        ("2100-02-28", true),
        ("2024-02-30", false),
        ("2024-04-30", true),
        ("2024-04-31", false),
        ("2024-12-31", true),
        ("2024-12-32", false),
        ("2024-01-00", false),
        ("2024-00-01", false),
        ("2024-13-01", false),
    ] {
        assert_eq!(rfc3339(&format!("{date}T00:00:00Z")).is_some(), exists, "{date}");
        assert_eq!(iso8601(date).is_some(), exists, "{date}");
    }
}

#[test]
fn times_out_of_range_are_not_read() {
    for (time, read) in [
        ("00:00:00Z", true),
        ("23:59:59Z", true),
        ("24:00:00Z", false),
        ("23:60:00Z", false),
        ("23:59:60Z", true),
        ("23:59:61Z", false),
        ("00:00:00+23:59", true),
        ("00:00:00+24:00", false),
        ("00:00:00+00:60", false),
    ] {
        assert_eq!(rfc3339(&format!("2026-11-05T{time}")).is_some(), read, "{time}");
    }
}

#[test]
fn a_leap_second_stays_in_its_hour() {
    let last = rfc3339("2016-12-31T23:59:59.999999Z");
    assert_eq!(rfc3339("2016-12-31T23:59:60Z"), last);
    assert_eq!(rfc3339("2016-12-31T23:59:60.5Z"), last);
}

#[test]
fn only_instants_that_clickhouse_holds_are_read() {
    assert_eq!(rfc3339("1900-01-01T00:00:00Z"), Some(Micros(EARLIEST)));
    assert_eq!(rfc3339("1899-12-31T23:59:59.999999Z"), None);
    assert_eq!(rfc3339("1900-01-01T00:00:00+00:01"), None);
    assert_eq!(rfc3339("2299-12-31T23:59:59.999999Z"), Some(Micros(LATEST)));
    assert_eq!(rfc3339("2300-01-01T00:00:00Z"), None);
    assert_eq!(rfc3339("0001-01-01T00:00:00Z"), None);
}

#[test]
fn what_lacks_parts_is_read_leniently_only() {
    for text in [
        "2026-11-05T09:30:00",
        "2026-11-05T09:30",
        "2026-11-05 09:30:00.000000",
        "2026-11-05T09:30Z",
        "2026-11-05T10:30:00+0100",
        "2026-11-05T10:30:00+01",
        "2026-11-05T10:30+01:00",
    ] {
        assert_eq!(iso8601(text), Some(AT_9_30), "{text}");
        assert_eq!(rfc3339(text), None, "{text}");
    }
    assert_eq!(iso8601("2026-11-05"), rfc3339("2026-11-05T00:00:00Z"));
    assert_eq!(rfc3339("2026-11-05"), None);
}

#[test]
fn what_is_no_time_is_not_read() {
    for text in [
        "",
        "now",
        "2026",
        "2026-11",
        "26-11-05T09:30:00Z",
        "2026-11-05T",
        "2026-11-05X09:30:00Z",
        "2026-11-05T9:30:00Z",
        "2026-11-05T09:30:00.Z",
        "2026-11-05T09:30:00,5Z",
        "2026-11-05T09:30:00ZZ",
        "2026-11-05T09:30:00Z ",
        " 2026-11-05T09:30:00Z",
        "2026-11-05T09:30:00+1:00",
        "2026-11-05T09:30:00+01:0",
        "2026-11-05T09:30:00+01:000",
        "2026-11-05T09:30:00 +01:00",
        "2026/11/05T09:30:00Z",
        "+2026-11-05T09:30:00Z",
        "2026-11-05T09:30:00é",
        "1793871000",
        "Thu, 05 Nov 2026 09:30:00 GMT",
    ] {
        assert_eq!(rfc3339(text), None, "{text}");
        assert_eq!(iso8601(text), None, "{text}");
    }
}

#[test]
fn numbers_are_seconds_milliseconds_or_microseconds() {
    for number in ["1793871000", "1793871000000", "1793871000000000", "1793871000.0"] {
        assert_eq!(since_1970(number), Some(AT_9_30), "{number}");
    }
    assert_eq!(since_1970("1793871000.123456789"), Some(Micros(AT_9_30.0 + 123_456)));
    assert_eq!(since_1970("1793871000123.5"), Some(Micros(AT_9_30.0 + 123_500)));
    assert_eq!(since_1970("0"), Some(Micros(0)));
    assert_eq!(since_1970("-1.5"), Some(Micros(-1_500_000)));
    // The last second that is held, and the first number that must be milliseconds.
    assert_eq!(since_1970("10413791999"), Some(Micros(LATEST / Micros::SECOND * Micros::SECOND)));
    assert_eq!(since_1970("10413792000"), Some(Micros(10_413_792_000_000)));
    for number in [
        "1e9",
        "1793871000000000000",
        "9223372036854775807",
        "-9223372036854775808.9",
        "99999999999999999999",
        "--5",
        "-+5",
        "+5",
        "--9223372036854775808",
    ] {
        assert_eq!(since_1970(number), None, "{number}");
    }
}

proptest! {
    #[test]
    fn every_instant_is_read_as_chrono_writes_it(micros in EARLIEST..=LATEST, minutes in -1439_i32..=1439) {
        let zone = chrono::FixedOffset::east_opt(minutes * 60).unwrap();
        let local = DateTime::from_timestamp_micros(micros).unwrap().with_timezone(&zone);
        prop_assume!((0..=9999).contains(&local.year()));
        let text = local.to_rfc3339_opts(SecondsFormat::Micros, true);
        prop_assert_eq!(rfc3339(&text), Some(Micros(micros)));
        prop_assert_eq!(iso8601(&text), Some(Micros(micros)));
    }

    #[test]
    fn what_chrono_refuses_is_refused(
        text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-5][0-9](\\.[0-9]{1,9})?\
                 (Z|[+-][0-2][0-9]:[0-6][0-9])",
    ) {
        let micros = DateTime::parse_from_rfc3339(&text).ok().map(|instant| instant.timestamp_micros());
        prop_assert_eq!(rfc3339(&text), micros.and_then(within_range));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+0-9TZtz:. é]{0,40}") {
        let _ = (rfc3339(&text), iso8601(&text), since_1970(&text));
    }
}
