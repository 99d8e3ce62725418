//! Ids of traces and spans, and the header that carries them: W3C Trace Context, level 2.

use hyper::HeaderMap;

/// Names a trace; not all zeros.
pub type TraceId = [u8; 16];
/// Names a span within it; not all zeros.
pub type SpanId = [u8; 8];

/// The trace is followed.
const SAMPLED: u8 = 1;
/// The trace's id is random, so that others may sample by it.
const RANDOM: u8 = 2;
/// Bytes of a `traceparent` of version 00.
const TRACEPARENT_LEN: usize = 55;

/// A span as others name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// `trace-flags`.
    pub flags: u8,
}

impl Context {
    /// Reads a `traceparent`. What is not well-formed counts as not sent, as the specification has it.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let text = traceparent.as_bytes();
        let (known, rest) = text.split_at_checked(TRACEPARENT_LEN)?;
        let version: [u8; 1] = from_hex(known.get(..2)?)?;
        // Later versions may add to it, after another dash.
        let rest_is_good = match version {
            [0] => rest.is_empty(),
            [0xff] => false,
            [_] => rest.is_empty() || rest.first() == Some(&b'-'),
        };
        let dashes = [2, 35, 52].into_iter().all(|place| known.get(place) == Some(&b'-'));
        let context = Self {
            trace_id: from_hex(known.get(3..35)?)?,
            span_id: from_hex(known.get(36..52)?)?,
            flags: from_hex::<1>(known.get(53..)?)?[0],
        };
        (rest_is_good && dashes && context.is_valid()).then_some(context)
    }

    /// Whether its trace is followed.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Whether both ids name something.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.trace_id != TraceId::default() && self.span_id != SpanId::default()
    }

    /// A new span of a new trace that is followed.
    pub(super) fn new() -> Self {
        Self { trace_id: random(), span_id: random(), flags: SAMPLED | RANDOM }
    }

    /// A new span of the same trace.
    pub(super) fn child(self) -> Self {
        Self { span_id: random(), ..self }
    }
}

/// A random id. All zeros is none: once in 2^64.
fn random<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    while id == [0; N] {
        rand::fill(&mut id[..]);
    }
    id
}

/// Lower case, as the specification has it.
fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// The caller's place in a trace, as a header names it. Of several nobody knows which counts.
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all("traceparent").iter();
    values.next().filter(|_| values.next().is_none())?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: &str = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

    #[test]
    fn a_traceparent_is_read() {
        let context = Context::parse(&format!("00-{IDS}-01")).unwrap();
        assert_eq!(u128::from_be_bytes(context.trace_id), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(u64::from_be_bytes(context.span_id), 0xb7ad_6b71_6920_3331);
        assert!(context.is_sampled());
        assert!(!Context::parse(&format!("00-{IDS}-00")).unwrap().is_sampled());
        // A later version, with what this one does not know.
        assert!(Context::parse(&format!("cc-{IDS}-01-what-comes")).unwrap().is_sampled());
    }

    #[test]
    fn what_is_not_well_formed_counts_as_not_sent() {
        let zeros = |len| "0".repeat(len);
        for bad in [
            String::new(),
            format!("00-{IDS}"),
            format!("00-{IDS}-1"),
            format!("00-{IDS}-01-more"),
            format!("ff-{IDS}-01"),
            format!("cc-{IDS}-01.more"),
            format!("00-{}-01", IDS.to_uppercase()),
            format!("00_{IDS}-01"),
            format!("00-{}-b7ad6b7169203331-01", zeros(32)),
            format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", zeros(16)),
            format!("00-{}-01", IDS.replace('0', "ß")),
            format!("0x-{IDS}-01"),
        ] {
            assert_eq!(Context::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_child_has_its_parents_trace_and_flags_and_an_id_of_its_own() {
        let parent = Context::new();
        let child = parent.child();
        assert!(parent.is_valid() && parent.is_sampled());
        assert_eq!((child.trace_id, child.flags), (parent.trace_id, parent.flags));
        assert_ne!(child.span_id, parent.span_id);
    }
}
