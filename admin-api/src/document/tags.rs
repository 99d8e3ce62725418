//! Groups of operations: by the module of their handlers.

use serde_json::{Value, json};

const TAGS: &[(&str, &str)] = &[
    ("auth", "Signing up, signing in, and access tokens."),
    ("openid", "Signing in through an OpenID provider."),
    ("passkeys", "Signing in with passkeys."),
    ("me", "What is a person's own."),
    ("mails", "Mails that nobody needs."),
    ("tenants", "The tenant itself."),
    ("projects", "Streams of events, such as production and staging."),
    ("keys", "API keys, with which events are sent."),
    ("usage", "What is counted and billed."),
    ("outcomes", "What became of events and requests."),
    ("erasures", "Events that are erased."),
    ("members", "People of the tenant."),
    ("invitations", "People who are to become members."),
    ("roles", "What members may do."),
    ("tokens", "Tokens for machines that call this API."),
    ("audit", "Who changed what."),
    ("operator.tenants", "All tenants, for operators."),
    ("operator.plans", "What tenants may send, for operators."),
    ("operator.keys", "Keys of all tenants, for operators."),
    ("operator.people", "All people, for operators."),
    ("operator.audit", "The audit of all tenants, for operators."),
    ("operator.river", "The way of events through all of weir, for operators."),
    ("operator.dead_letters", "Events that could not be read, for operators."),
    ("operator.reconciliation", "Proofs and repairs, for operators."),
    ("operator.jobs", "Work that is done later, for operators."),
    ("operator.outbox", "Mails to be sent, for operators."),
    ("operator.status", "How this process does, for operators."),
    ("contract", "What this API says of itself."),
];

/// Of `keys.create`, `keys`.
pub(super) fn of(id: &str) -> &str {
    id.rsplit_once('.').map_or(id, |(tag, _)| tag)
}

/// Those that are used.
pub(super) fn all(used: &[String]) -> Vec<Value> {
    let of_use = TAGS.iter().filter(|(name, _)| used.iter().any(|tag| tag == name));
    of_use.map(|(name, description)| json!({"name": name, "description": description})).collect()
}
