//! Which campaign a visit belongs to.

use std::borrow::Cow;

use memchr::memmem;

use super::said::{Said, UTM, place};

/// Bytes of a value that are kept.
pub(super) const VALUE_BYTES_MAX: usize = 256;

/// Source, medium, campaign, term and content; empty where nothing is said.
pub(super) type Campaign<'a> = [Cow<'a, str>; 5];

/// The campaign that an event names. The first place that says anything says all, so that two campaigns never
/// mix: Segment's `context.campaign`, PostHog's `utm_*` properties, the query of a URL.
pub(super) fn campaign<'a>(said: &Said<'a>) -> Campaign<'a> {
    for texts in [said.campaign, said.utm] {
        if texts.iter().any(Option::is_some) {
            let named = texts.map(|text| text.map(|text| cut(text.get())).unwrap_or_default());
            if says_anything(&named) {
                return named;
            }
        }
    }
    for url in said.urls.into_iter().flatten() {
        let named = of_url(&url.get());
        if says_anything(&named) {
            return named;
        }
    }
    Campaign::default()
}

fn says_anything(campaign: &Campaign<'_>) -> bool {
    campaign.iter().any(|value| !value.is_empty())
}

/// The parameters of a URL, or of its query alone with the question mark before it.
fn of_url(url: &str) -> Campaign<'static> {
    let mut campaign = Campaign::default();
    if memmem::find(url.as_bytes(), b"utm_").is_none() {
        return campaign;
    }
    let Some((_, query)) = url.split_once('?') else { return campaign };
    let query = query.split('#').next().unwrap_or_default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if let Some(column) = place(&UTM, name).and_then(|place| campaign.get_mut(place))
            && column.is_empty()
        {
            *column = cut(Cow::Owned(decoded(value)));
        }
    }
    campaign
}

/// As forms encode: `+` is a space, `%` and two hex digits a byte. What is not UTF-8 then is replaced.
fn decoded(value: &str) -> String {
    // What is cut off later need not be decoded: a byte takes three at most.
    let encoded = value.as_bytes().get(..VALUE_BYTES_MAX * 3 + 3).unwrap_or(value.as_bytes());
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut at = 0;
    while let Some(byte) = encoded.get(at) {
        at += 1;
        let escaped = if *byte == b'%' { encoded.get(at..at + 2).and_then(hex) } else { None };
        match (byte, escaped) {
            (_, Some(escaped)) => {
                bytes.push(escaped);
                at += 2;
            }
            (b'+', None) => bytes.push(b' '),
            (byte, None) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = digits else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn cut(value: Cow<'_, str>) -> Cow<'_, str> {
    if value.len() <= VALUE_BYTES_MAX {
        return value;
    }
    let end = value.floor_char_boundary(VALUE_BYTES_MAX);
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_whole_up_to_its_limit_and_cut_beyond() {
        let long = "x".repeat(VALUE_BYTES_MAX);
        for (value, kept) in [
            (long.clone(), long.clone()),
            (long.clone() + "y", long.clone()),
            ("%C3%A9".repeat(VALUE_BYTES_MAX), "é".repeat(VALUE_BYTES_MAX / 2)),
            ("x".repeat(VALUE_BYTES_MAX - 1) + "%C3%A9", "x".repeat(VALUE_BYTES_MAX - 1)),
        ] {
            assert_eq!(of_url(&format!("https://a.b/?utm_term={value}"))[3], kept);
        }
        assert_eq!(cut(Cow::Owned(long.clone() + "y")), long);
    }

    #[test]
    fn escapes_that_mean_nothing_stay_as_they_are() {
        for (encoded, expected) in
            [("a+b%20c", "a b c"), ("100%", "100%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%FF", "\u{fffd}")]
        {
            assert_eq!(decoded(encoded), expected, "{encoded}");
        }
    }
}
