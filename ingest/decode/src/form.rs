//! Bodies that hold JSON in a form: `data=<base64 or percent-encoded JSON>`, as browsers' beacons send them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use schemas::problem::{Code, Place, Problem};
use schemas::time::Micros;

use super::text::{form_decoded, percent_decoded};
use crate::decompress::decompress;
use crate::room::Room;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A field that is longer holds neither a key nor a time.
const FIELD_BYTES_MAX: usize = 1_024;

/// The JSON of a body: the body itself, unless it is a form, or base64, whatever its content type says.
///
/// What is neither is left as it is, for the parser to say what is wrong with it.
///
/// In a form a plus is a blank. Base64 has none, so there it is a plus again: some SDKs leave it as it is.
///
/// # Errors
/// As [`decompress`], for compressed bytes within the form; `unsupported_encoding` for LZString, if the form says so.
pub fn json_of_form(body: Bytes, room: &mut Room<'_>) -> Result<Bytes, Problem> {
    if is_json(&body) {
        return Ok(body);
    }
    let data = field(&body, "data");
    let value = data.map_or_else(|| percent_decoded(&body), form_decoded);
    if is_json(&value) {
        return Ok(value.into());
    }
    let value = data.map_or(value, percent_decoded);
    let json = match BASE64.decode(without_spaces(value)) {
        Ok(decoded) => decompress(None, decoded.into(), room)?,
        Err(_) => body.clone(),
    };
    let is_lz_string = field(&body, "compression").is_some_and(|name| matches!(name, b"lz64" | b"lz-string"));
    if is_lz_string && !is_json(&json) {
        let detail = "LZString is not read: send JSON, base64 or gzip";
        return Err(Problem::new(Code::UnsupportedEncoding, detail)
            .in_place(Place::Parameter("compression".to_owned())));
    }
    Ok(json)
}

/// What a form says of its request, in addition to the events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FormFields {
    /// The API key.
    pub key: Option<String>,
    /// When it was sent.
    pub sent_at: Option<Micros>,
}

/// The fields of a body that is a form with `data`; of another body none.
#[must_use]
pub fn form_fields(body: &[u8]) -> FormFields {
    if is_json(body) || field(body, "data").is_none() {
        return FormFields::default();
    }
    let short = |name| field(body, name).filter(|value| value.len() <= FIELD_BYTES_MAX);
    let text = |name| String::from_utf8(form_decoded(short(name)?)).ok().filter(|text| !text.is_empty());
    let sent_at = text("sent_at").or_else(|| text("_"));
    FormFields {
        key: text("api_key").or_else(|| text("token")),
        sent_at: sent_at.and_then(|sent_at| super::instant(&sent_at)),
    }
}

/// What stands behind the first `name=`, as it was sent.
fn field<'a>(form: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut fields = form.split(|byte| *byte == b'&');
    fields.find_map(|field| field.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
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
