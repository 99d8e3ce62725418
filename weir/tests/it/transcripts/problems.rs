//! The problems of docs/errors, each provoked by a request.

use schemas::key::ApiKey;

use super::after_make_run;
use super::agree::{Names, Numbers};
use super::page::read;
use crate::pages::texts;

/// What the requests below begin with. A new or changed key is known within a second.
const SETUP: &str = r#"
weir() { .run/weir "$@"; }
key() { weir key create "$@" | sed -n 1p; }
send() { curl -s $WEIR_URL/v1/events -H "Authorization: Bearer $KEY" "$@"; }
post() { send -H 'Content-Type: application/json' "$@"; }
operator() { curl -s -H "Authorization: Bearer $WEIR_OPERATOR_TOKEN" -H 'Content-Type: application/json' "$@"; }
operator $WEIR_OPERATOR_URL/v1/operator/tenants -d '{"name":"acme"}'
weir tenant create frozen; FROZEN=$(key frozen); weir tenant freeze frozen --reason "a test"
weir tenant create poor --quota 0; POOR=$(key poor)
weir tenant create slow --rate 1; SLOW=$(key slow)
KEY=$(key acme); EXPIRED=$(key acme --expires-at $(date -u -d '+2 seconds' +%FT%TZ)); REVOKED=$(key acme)
id=${REVOKED#wk_live_}; weir key revoke ${id%_*}
case $KEY in *A) MALFORMED=${KEY%?}B;; *) MALFORMED=${KEY%?}A;; esac
sleep 3"#;

/// A command for each code, whose last reply is the problem.
const REQUESTS: [(&str, &str); 26] = [
    (
        "body_too_large",
        "head -c 33554433 /dev/zero | gzip | post -H 'Content-Encoding: gzip' --data-binary @-",
    ),
    ("conflict", r#"operator $WEIR_OPERATOR_URL/v1/operator/tenants -d '{"name":"acme"}'"#),
    (
        "event_too_large",
        r#"text=$(head -c 600000 /dev/zero | tr '\0' x)
           printf '{"batch":[{"event":"e","context":{"x":"%s"}}]}' $text | post --data-binary @-"#,
    ),
    ("expired_key", "KEY=$EXPIRED post -d '{}'"),
    (
        "invalid_argument",
        r#"operator -X PUT $WEIR_OPERATOR_URL/v1/operator/plans/small -d '{"quota":-1,"rate":1}'"#,
    ),
    ("invalid_batch", r#"post -d '{"batch":7}'"#),
    (
        "invalid_encoding",
        r#"printf '{"event":"e"}' | gzip | head -c 12 | post -H 'Content-Encoding: gzip' --data-binary @-"#,
    ),
    ("invalid_event", r#"post -d '{"batch":[{}]}'"#),
    ("invalid_json", r#"post -d '{"event":"e" "id":"1"}'"#),
    (
        "key_reused",
        r#"once() { operator $WEIR_OPERATOR_URL/v1/tenants/acme/projects -H 'Idempotency-Key: 1' -d "$1"; }
           once '{"name":"one"}' > first; once '{"name":"two"}'"#,
    ),
    ("malformed_key", "KEY=$MALFORMED post -d '{}'"),
    ("method_not_allowed", "curl -s $WEIR_URL/v1/events"),
    ("missing_key", "curl -s $WEIR_URL/v1/events -d '{}'"),
    ("not_found", "curl -s $WEIR_URL/nothing"),
    (
        "precondition_failed",
        r#"operator -X PATCH $WEIR_OPERATOR_URL/v1/operator/tenants/acme -H 'If-Match: "stale"' -d '{"quota":1}'"#,
    ),
    ("quota_exceeded", r#"KEY=$POOR post -d '{"event":"e"}'"#),
    (
        "rate_limited",
        r#"events=$(printf '{"event":"e"},%.0s' $(seq 3000))
           KEY=$SLOW post -o /dev/null -d "[${events%,}]"; KEY=$SLOW post -d '{}'"#,
    ),
    ("request_timeout", "(printf '{'; sleep 10) | post -X POST -T -"),
    ("revoked_key", "KEY=$REVOKED post -d '{}'"),
    ("tenant_frozen", r#"KEY=$FROZEN post -d '{"event":"e"}'"#),
    (
        "too_many_requests",
        r#"for n in $(seq 200); do echo "url = $WEIR_ADMIN_URL/v1/auth/jwks"; echo "output = /dev/null"; done > much
           echo "url = $WEIR_ADMIN_URL/v1/auth/jwks" >> much; curl -s -K much"#,
    ),
    ("unauthorized", "curl -s $WEIR_OPERATOR_URL/v1/operator/tenants"),
    ("unknown_key", "KEY=$UNKNOWN post -d '{}'"),
    ("unsupported_encoding", "post -H 'Content-Encoding: lz4' -d '{}'"),
    ("unsupported_media_type", "send -H 'Content-Type: text/xml' -d '{}'"),
    // The last, since it holds for all requests of this address.
    (
        "address_limited",
        r#"for n in $(seq 2000); do echo "url = $WEIR_URL/v1/events?key=1"; echo "output = /dev/null"; done > many
           echo "url = $WEIR_URL/v1/events?key=1" >> many; curl -s -d '{}' -K many"#,
    ),
];

/// Codes that need more than a request, and where they are provoked. What their pages show is what the code says, by
/// `pages.rs`.
const ELSEWHERE: [(&str, &str); 7] = [
    ("forbidden", "a member without the permission: testkit/tests/it/people.rs"),
    ("invitation_void", "whose maker has left: admin-api/tests/it/invitations.rs"),
    ("not_durable", "a log that does not confirm: eventlog/tests/it/kafka/outage.rs"),
    ("overloaded", "a node whose budget is full: weir/tests/it/edge/tenants.rs"),
    ("still_running", "many requests with one key: admin-api/tests/it/idempotency.rs"),
    ("too_many_attempts", "an account under attack: admin-api/accounts/tests/it/login.rs"),
    ("unavailable", "a Postgres that is away: weir/tests/it/outage.rs"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_problems_of_the_pages_of_errors_are_the_ones_that_clients_get() {
    let (_place, _process, mut session) = after_make_run("", &[("WEIR_ADDRESS_RATE", "10")]).await;
    session.run(SETUP).await;
    session.run(&format!("UNKNOWN={}", ApiKey::generate().expose())).await;
    let mut wrong = Vec::new();
    for (code, request) in REQUESTS {
        let page = read(&format!("docs/errors/{code}.md"));
        let (_, rest) = page.split_once("```json\n").unwrap();
        let (shown, _) = rest.split_once("```").unwrap();
        let reply = session.run(request).await;
        if let Err(why) = Names::default().compare(shown, &reply, Numbers::Vary) {
            wrong.push(format!("{code}: {why}\n{reply}"));
        }
    }
    assert!(wrong.is_empty(), "docs/errors shows other problems:\n{}", wrong.join("\n"));
    let pages = texts(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors"), ".md").len();
    assert_eq!(pages, REQUESTS.len() + ELSEWHERE.len(), "each page is shown to be true");
}
