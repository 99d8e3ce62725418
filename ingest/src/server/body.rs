//! From a request's body to the bytes that its dialect's parser reads.

use bytes::Bytes;
use decode::decompress::{Encoding, decompress};
use decode::room::Room;
use decode::{Batch, FormFields, NativeShape};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use schemas::problem::{Code, Problem};
use schemas::time::Micros;

use crate::routes::Dialect;

/// What a header says about its body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    dialect: Dialect,
    shape: NativeShape,
    encoding: Option<Encoding>,
    /// When header or query say that the request was sent.
    sent_at: Option<Micros>,
}

/// What a dialect's parser reads.
#[derive(Debug)]
pub(super) struct Unwrapped {
    json: Bytes,
    /// What a form says in addition to it.
    fields: FormFields,
}

impl Unwrapped {
    /// Bytes of the JSON.
    pub(super) fn len(&self) -> usize {
        self.json.len()
    }
}

/// Where PostHog's SDKs say when a request was sent, if not in the body.
const REQUEST_TIMESTAMP: HeaderName = HeaderName::from_static("posthog-request-timestamp");
const SENT_AT_PARAMETERS: [&str; 2] = ["sent_at", "_"];

impl Form {
    /// # Errors
    /// 415, before the body is read.
    pub(super) fn of(dialect: Dialect, headers: &HeaderMap, query: Option<&str>) -> Result<Self, Problem> {
        let shape = if dialect == Dialect::Native { native_shape(headers)? } else { NativeShape::Json };
        let encoding = match headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?")) {
            Some(value) => Encoding::from_header(value)?,
            None => None,
        };
        Ok(Self { dialect, shape, encoding, sent_at: sent_at(headers, query) })
    }

    /// The body without compression, and without what a dialect wraps around its JSON.
    ///
    /// # Errors
    /// As [`decompress`]; and for CloudEvents in headers as [`decode::binary_cloudevent`].
    pub(super) fn json(
        self,
        body: Bytes,
        headers: &HeaderMap,
        room: &mut Room<'_>,
    ) -> Result<Unwrapped, Problem> {
        let body = decompress(self.encoding, body, room)?;
        let mut fields = FormFields::default();
        let json = match self.dialect {
            Dialect::PostHog | Dialect::PostHogEngage | Dialect::PostHogV1 => {
                if !matches!(body.first(), None | Some(b'{' | b'[')) {
                    // Its fields, without percent signs, and then without base64.
                    room.derive(body.len().saturating_mul(3))?;
                }
                fields = decode::form_fields(&body);
                decode::json_of_form(body, room)?
            }
            Dialect::CloudEvents => structured(body, headers, room)?,
            Dialect::Native | Dialect::Segment(_) => body,
        };
        Ok(Unwrapped { json, fields })
    }

    /// # Errors
    /// As the dialect's parser.
    pub(super) fn decode<'a>(
        self,
        body: &'a Unwrapped,
        received_at: Micros,
        room: &mut Room<'_>,
    ) -> Result<Batch<'a>, Problem> {
        let Unwrapped { json: body, fields } = body;
        let sent_at = self.sent_at.or(fields.sent_at);
        let mut batch = match self.dialect {
            Dialect::Native => decode::native(body, self.shape, room),
            Dialect::Segment(kind) => decode::segment(body, kind, room),
            Dialect::PostHog | Dialect::PostHogV1 => decode::posthog(body, received_at, sent_at, room),
            Dialect::PostHogEngage => decode::posthog_engage(body, received_at, sent_at, room),
            Dialect::CloudEvents => decode::cloudevents(body, room),
        }?;
        if let Some(key) = &fields.key {
            // The form is what stands around everything.
            (batch.write_key, batch.keys_differ) = (Some(key.into()), false);
        }
        Ok(batch)
    }
}

fn sent_at(headers: &HeaderMap, query: Option<&str>) -> Option<Micros> {
    if let Some(value) = headers.get(REQUEST_TIMESTAMP) {
        return decode::instant(value.to_str().ok()?);
    }
    let mut parameters = query?.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(name, _)| SENT_AT_PARAMETERS.contains(name)).and_then(|(_, text)| decode::instant(text))
}

/// The native route is strict about what it is sent: a form's content type means that a client forgot to set one.
/// `text/plain` is what a browser's beacon may send to any host.
fn native_shape(headers: &HeaderMap) -> Result<NativeShape, Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(NativeShape::Json) };
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" | "text/plain" => Ok(NativeShape::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(NativeShape::Ndjson),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "send `Content-Type: application/json`, or `application/x-ndjson` for one event a line",
        )
        .at("content-type")),
    }
}

fn structured(body: Bytes, headers: &HeaderMap, room: &mut Room<'_>) -> Result<Bytes, Problem> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !decode::is_binary_cloudevent(headers.keys().map(|name| name.as_str()), content_type) {
        return Ok(body);
    }
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let event = decode::binary_cloudevent(headers, content_type, &body)?;
    room.derive(event.len())?;
    Ok(event.into())
}

#[cfg(test)]
mod tests;
