//! Bodies that hold JSON in a form: `data=<base64 or percent-encoded JSON>`, as browsers' beacons send them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use schemas::problem::Problem;

use super::text::percent_decoded;
use crate::decompress::{Room, decompress};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The JSON of a body: the body itself, unless it is a form, or base64, whatever its content type says.
///
/// What is neither is left as it is, for the parser to say what is wrong with it.
///
/// # Errors
/// As [`decompress`], for compressed bytes within the form.
pub fn json_of_form(body: Bytes, room: &mut Room<'_>) -> Result<Bytes, Problem> {
    if is_json(&body) {
        return Ok(body);
    }
    let value = body.split(|byte| *byte == b'&').find_map(|field| field.strip_prefix(b"data="));
    let value = percent_decoded(value.unwrap_or(&body));
    if is_json(&value) {
        return Ok(value.into());
    }
    match BASE64.decode(without_spaces(value)) {
        Ok(decoded) => decompress(None, decoded.into(), room),
        Err(_) => Ok(body),
    }
}

/// Begins like an object, an array, or a byte order mark.
fn is_json(body: &[u8]) -> bool {
    matches!(body.trim_ascii_start().first(), None | Some(b'{' | b'[' | 0xef))
}

/// In a form a `+` that is not encoded stands for a space; base64 has none, so each was a `+`.
fn without_spaces(mut value: Vec<u8>) -> Vec<u8> {
    value.truncate(value.trim_ascii_end().len());
    value.iter_mut().filter(|byte| **byte == b' ').for_each(|space| *space = b'+');
    value
}
