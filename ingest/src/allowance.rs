//! What a tenant may send, as headers of every reply whose tenant is known: `RateLimit-Policy` and `RateLimit`
//! (draft-ietf-httpapi-ratelimit-headers). Both count events.
//!
//! * `"rate"`: `q` is the tenant's rate for each second (`w=1`), `r` what would pass on this node at this moment
//!   without a wait, `q` at most, and `t` the seconds until that is all of a second's worth on this node.
//! * `"quota"`: `q` is the quota of a period of `w` seconds, `r` what is left on this node and what was left in
//!   Postgres when it was last asked, and `t` the seconds to the period's end. What other nodes hold is not in `r`,
//!   so it never says more than what is left, except for what they took since; it is left out until it is known.
//!
//! A limit that a tenant does not have is left out, and a tenant without limits gets neither header.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use schemas::time::Micros;

use crate::tenant::Tenant;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
/// Bytes that both items take, with the longest numbers.
const TEXT_BYTES_MAX: usize = 128;

/// Adds what `tenant` may send at `at`.
pub fn add_headers(headers: &mut HeaderMap, tenant: &Tenant, at: Micros) {
    let mut policy = Items::new();
    let mut state = Items::new();
    if let Some(left) = tenant.rate.left() {
        policy.item("rate", [("q", left.rate.into()), ("w", 1)]);
        let full_in = left.full_in.as_secs() + u64::from(left.full_in.subsec_nanos() > 0);
        state.item("rate", [("r", left.events.into()), ("t", full_in)]);
    }
    let (quota, zone) = {
        let terms = tenant.terms.read();
        (terms.quota, terms.zone)
    };
    if let Some(quota) = quota {
        let (period, left) = tenant.slice.left(at, zone);
        policy.item("quota", [("q", unsigned(quota)), ("w", seconds(period.end.0 - period.start.0))]);
        if let Some(left) = left {
            state.item("quota", [("r", unsigned(left)), ("t", seconds(period.end.0 - at.0))]);
        }
    }
    policy.insert(headers, POLICY);
    state.insert(headers, STATE);
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Whole seconds, rounded up.
fn seconds(micros: i64) -> u64 {
    unsigned(micros).div_ceil(1_000_000)
}

/// A list of items with parameters (RFC 9651).
struct Items {
    text: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Items {
    fn new() -> Self {
        Self { text: [0; TEXT_BYTES_MAX], len: 0 }
    }

    fn item(&mut self, name: &str, parameters: [(&str, u64); 2]) {
        if self.len > 0 {
            self.push(", ");
        }
        self.push("\"");
        self.push(name);
        self.push("\"");
        for (name, value) in parameters {
            self.push(";");
            self.push(name);
            self.push("=");
            self.push(itoa::Buffer::new().format(value));
        }
    }

    /// What the longest numbers need, there is room for.
    fn push(&mut self, text: &str) {
        let end = self.len + text.len();
        if let Some(room) = self.text.get_mut(self.len..end) {
            room.copy_from_slice(text.as_bytes());
            self.len = end;
        }
    }

    fn insert(&self, headers: &mut HeaderMap, name: HeaderName) {
        if self.len == 0 {
            return;
        }
        // Digits, letters and some signs.
        if let Ok(value) = HeaderValue::from_bytes(&self.text[..self.len]) {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::address::AddressPolicy;
    use schemas::id::TenantId;

    use super::*;
    use crate::tenant::Terms;

    const NOW: Micros = Micros(1_795_000_000_250_000);

    fn added(quota: Option<i64>, rate: Option<u32>) -> (Option<String>, Option<String>) {
        let tenant = Tenant::new(
            TenantId(1),
            Terms { active: true, quota, rate, zone: chrono_tz::Tz::UTC, client_ip: AddressPolicy::Full },
        );
        let mut headers = HeaderMap::new();
        add_headers(&mut headers, &tenant, NOW);
        let text = |name| Some(headers.get(name)?.to_str().unwrap().to_owned());
        (text(POLICY), text(STATE))
    }

    #[test]
    fn headers_have_the_limits_that_a_tenant_has_and_no_others() {
        assert_eq!(added(None, None), (None, None));
        let (policy, state) = added(None, Some(5));
        assert_eq!(policy.unwrap(), r#""rate";q=5;w=1"#);
        assert_eq!(state.unwrap(), r#""rate";r=5;t=0"#);
        let (policy, state) = added(Some(i64::MAX), Some(u32::MAX));
        let longest = r#""rate";q=4294967295;w=1, "quota";q=9223372036854775807;w=2592000"#;
        assert_eq!(policy.unwrap(), longest);
        assert_eq!(state.unwrap(), r#""rate";r=4294967295;t=0"#, "what is left is not known yet");
        assert!(longest.len() <= TEXT_BYTES_MAX);
    }
}
