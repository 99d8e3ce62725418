use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;

/// The whole text as one value.
fn scanned(text: &str) -> Result<Value<'_>, SyntaxError> {
    let mut scanner = Scanner::new(text);
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value)
}

const VALID: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "10",
    "123456789012345678901234567890",
    "9007199254740993",
    "0.1",
    "1e5",
    "1E+5",
    "1e-5",
    "-1.25e-9999",
    "0e999999999999",
    r#""""#,
    r#""a""#,
    r#""\"\\\/\b\f\n\r\t\u0041\uD83D\uDE00""#,
    "\"\u{7f}é€😀\u{2028}\"",
    "[]",
    "[ ]",
    "{}",
    "{\t}",
    r#"[1,"a",null,[],{}]"#,
    r#" { "a" : [ 1 , { "b" : { } } ] , "" : 0 } "#,
    r#"{"a":1,"a":2}"#,
    "\r\n[\n1\t]\r\n",
];

const INVALID: &[&str] = &[
    "",
    " ",
    "nul",
    "nulL",
    "nullx",
    "True",
    "TRUE",
    "undefined",
    "01",
    "-",
    "+1",
    "-01",
    "1.",
    ".5",
    "1.e5",
    "1e",
    "1e+",
    "0x10",
    "1_000",
    "--1",
    "- 1",
    "nan",
    "NaNa",
    "-NaN",
    "+Infinity",
    "Infinit",
    "infinity",
    "- Infinity",
    r#"""#,
    r#""a"#,
    r#""\""#,
    r#""\x41""#,
    r#""\u12""#,
    r#""\u12g4""#,
    r#""\u+123""#,
    r#""\ud83d\u12""#,
    r#""\ud83d\u00""#,
    r#""\'""#,
    "'a'",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"0123456789abcdef\u{1f}\"",
    "\"\0\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1 2]",
    "[1;2]",
    "[1}",
    "{",
    "}",
    "{]",
    r#"{"a""#,
    r#"{"a":"#,
    r#"{"a":1"#,
    r#"{"a":1,"#,
    r#"{"a":1,}"#,
    r#"{,"a":1}"#,
    r#"{"a" 1}"#,
    r#"{"a"::1}"#,
    r#"{"a":1 "b":2}"#,
    r#"{"a":1]"#,
    r#"{a:1}"#,
    r#"{1:1}"#,
    r#"{null:1}"#,
    r#"{"a"}"#,
    r#"{"a":}"#,
    "1 2",
    "{}{}",
    "[]]",
    "[1]//",
    "/* */1",
    "[1]#",
    "\u{a0}1",
    "\u{feff}1",
    "\u{b}1",
    "\u{c}1",
];

#[test]
fn the_grammar_is_json_neither_more_nor_less() {
    for text in VALID {
        let value = scanned(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(value.raw, text.trim_matches([' ', '\t', '\r', '\n']));
        assert!(value.oddities.is_none(), "{text}");
    }
    for text in INVALID {
        assert!(scanned(text).is_err(), "{text:?}");
        // The same within containers, where another part of the scanner reads it.
        for text in [format!("[{text}]"), format!(r#"{{"k":{text}}}"#)] {
            assert_eq!(scanned(&text).is_ok(), serde_json::from_str::<&RawValue>(&text).is_ok(), "{text:?}");
        }
    }
}

#[test]
fn an_error_says_what_is_wrong_and_where() {
    for (text, what) in [
        (r#"{"a":01}"#, "a comma or a closing brace was expected at byte 6"),
        (r#"["a" "b"]"#, "a comma or a closing bracket was expected at byte 5"),
        (r#"{"a":tru}"#, "a value was expected at byte 8"),
        (r#"{"a":1,}"#, "a key in quotes was expected at byte 7"),
        (r#"{"a" 1}"#, "a colon was expected at byte 5"),
        (r#"["\x"]"#, "an escape is not one that JSON knows at byte 3"),
        ("[\"a\n\"]", "a control character stands in a string unescaped at byte 3"),
        (r#"[1.]"#, "a digit was expected at byte 3"),
        (r#"{"a":[1,2"#, "it ends in the middle of a value at byte 9"),
        ("[] []", "something follows the end of the JSON value at byte 3"),
    ] {
        assert_eq!(scanned(text).unwrap_err().describe(), what, "{text}");
    }
}

#[test]
fn what_other_readers_refuse_is_kept_in_a_form_that_they_take() {
    for (sent, kept, oddity) in [
        ("NaN", "null", Oddities::NOT_FINITE),
        ("Infinity", "null", Oddities::NOT_FINITE),
        ("-Infinity", "null", Oddities::NOT_FINITE),
        (r#"{"a": NaN, "b":[-Infinity,1]}"#, r#"{"a": null, "b":[null,1]}"#, Oddities::NOT_FINITE),
        (r#"["NaN",NaN]"#, r#"["NaN",null]"#, Oddities::NOT_FINITE),
        ("1e999", r#""1e999""#, Oddities::BEYOND_DOUBLE),
        ("[-1.5E+400 ]", r#"["-1.5E+400" ]"#, Oddities::BEYOND_DOUBLE),
        (r#""\ud800""#, r#""\ufffd""#, Oddities::LONE_SURROGATE),
        (r#"["\udc00\ud83d\ude00\uD83Dx"]"#, r#"["\ufffd\ud83d\ude00\ufffdx"]"#, Oddities::LONE_SURROGATE),
        (r#""\ud800\ud800\udc00""#, r#""\ufffd\ud800\udc00""#, Oddities::LONE_SURROGATE),
        (r#"{"\udfff":1}"#, r#"{"\ufffd":1}"#, Oddities::LONE_SURROGATE),
    ] {
        let value = scanned(sent).unwrap();
        assert_eq!((value.kept().as_ref(), value.oddities), (kept, oddity), "{sent}");
        serde_json::from_str::<serde_json::Value>(kept).unwrap();
    }
}

#[test]
fn numbers_of_any_length_keep_their_digits_up_to_what_a_double_holds() {
    for (digits, held) in [(300, true), (301, true), (308, true), (309, false), (400, false)] {
        let number = "9".repeat(digits);
        let held_as_sent = scanned(&number).unwrap().oddities.is_none();
        assert_eq!(
            (held_as_sent, serde_json::from_str::<f64>(&number).is_ok()),
            (held, held),
            "{digits} digits"
        );
    }
}

#[test]
fn nesting_is_counted_and_costs_no_stack() {
    for depth in [1_u32, 2, 31, 63, 64, 65, 127, 128, 129, 1_000_000] {
        let pairs = usize::try_from(depth).unwrap() / 2;
        let mut text = r#"[{"k":"#.repeat(pairs);
        text.push_str(if depth % 2 == 1 { "[]" } else { "0" });
        text.push_str(&"}]".repeat(pairs));
        assert_eq!(scanned(&text).unwrap().depth, depth);
        text.pop();
        text.push('}');
        assert!(scanned(&text).is_err(), "the outermost bracket is closed by a brace");
        assert!(scanned(&text[..text.len() / 2]).is_err());
    }
}

/// JSON of every kind, written with white space and escapes at random.
fn json() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        "[ -~é€😀]{0,40}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\u00e9\ud83d\ude00\\\/\b""#.to_owned()),
    ];
    let number = prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|n| format!("{n:?}")),
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2})?",
    ];
    let leaf = prop_oneof![string.clone(), number, "null|true|false"];
    let space = "[ \n\t]{0,2}";
    leaf.prop_recursive(6, 60, 6, move |value| {
        let member = (string.clone(), space, value.clone()).prop_map(|(k, s, v)| format!("{k}{s}:{s}{v}"));
        prop_oneof![
            (prop::collection::vec(value, 0..6), space)
                .prop_map(|(values, s)| format!("[{s}{}{s}]", values.join(&format!("{s},")))),
            (prop::collection::vec(member, 0..6), space)
                .prop_map(|(members, s)| format!("{{{s}{}{s}}}", members.join(&format!(",{s}")))),
        ]
    })
}

/// Whether the scanner takes the text, without what it takes on top of JSON.
fn is_strictly_json(text: &str) -> bool {
    scanned(text).is_ok_and(|value| !value.oddities.has(Oddities::NOT_FINITE))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_scanner_agrees_with_serde_json_on_json(text in json()) {
        prop_assert!(serde_json::from_str::<&RawValue>(&text).is_ok());
        let value = scanned(&text).unwrap();
        prop_assert_eq!(value.raw, text.trim());
    }

    #[test]
    fn the_scanner_agrees_with_serde_json_on_damaged_json(
        text in json(),
        place: prop::sample::Index,
        damage in r#"[\[\]{},:"\\0-9eE+.\-tfnuINaDd \n]{0,2}"#,
        cut in 0_usize..2,
    ) {
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let from = place.index(starts.len());
        let to = (from + cut).min(starts.len() - 1);
        let damaged = format!("{}{damage}{}", &text[..starts[from]], &text[starts[to]..]);
        prop_assert_eq!(is_strictly_json(&damaged), serde_json::from_str::<&RawValue>(&damaged).is_ok(), "{}", damaged);
    }

    #[test]
    fn the_scanner_agrees_with_serde_json_on_any_text(text in r#"[\[\]{},:"\\0-9eE+.\-tfnrulsaINd \n]{0,12}"#) {
        prop_assert_eq!(is_strictly_json(&text), serde_json::from_str::<&RawValue>(&text).is_ok(), "{}", text);
    }

    #[test]
    fn what_is_kept_is_always_read_by_serde_json(
        text in r#"[\[\]{},:"\\ud8dc00-9eE+.\-NaInfinity ]{0,16}"#,
        number in "-?[1-9]\\.?[0-9]e[0-9]{3}",
    ) {
        for text in [text, format!("[{number}]")] {
            if let Ok(value) = scanned(&text) {
                let kept = value.kept();
                prop_assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok(), "{} kept as {}", text, kept);
            }
        }
    }

    #[test]
    fn every_truncation_of_a_container_is_an_error(text in json()) {
        let text = format!("[{text}]");
        for (end, _) in text.char_indices() {
            prop_assert!(scanned(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }
}
