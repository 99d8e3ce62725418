//! A row of `events`, as the client's own serialisation has it. The client refuses it if the table has a column without
//! a default that is missing here.

use std::net::Ipv6Addr;

use clickhouse::Row;
use schemas::event::Event;
use schemas::frame::Envelope;
use schemas::id::Position;
use serde::Serialize;
use uuid::Uuid;

#[derive(Debug, Row, Serialize)]
pub(crate) struct FloorRow<'a> {
    tenant_id: i64,
    project_id: i64,
    event_id: &'a str,
    event_hash: u128,
    r#type: &'static str,
    event: &'a str,
    user_id: &'a str,
    anonymous_id: &'a str,
    timestamp: i64,
    received_at: i64,
    properties: &'a str,
    context: &'a str,
    extra: &'a str,
    client_ip: Ipv6Addr,
    user_agent: &'a str,
    #[serde(with = "clickhouse::serde::uuid")]
    request_id: Uuid,
    key_id: i64,
    flags: u8,
    log_partition: u32,
    position: u64,
    enrichment: u16,
    browser: &'a str,
    browser_version: u16,
    os: &'a str,
    os_version: &'a str,
    device_type: &'a str,
    geo_country: &'a str,
    geo_region: &'a str,
    geo_city: &'a str,
    geo_continent: &'a str,
    geo_time_zone: &'a str,
    geo_built: u32,
    utm_source: &'a str,
    utm_medium: &'a str,
    utm_campaign: &'a str,
    utm_term: &'a str,
    utm_content: &'a str,
}

impl<'a> FloorRow<'a> {
    pub(crate) fn new(
        envelope: &Envelope<'a>,
        event: &Event<'a>,
        log_partition: u32,
        position: Position,
    ) -> Self {
        Self {
            tenant_id: envelope.tenant.0,
            project_id: envelope.project.0,
            event_id: event.id,
            event_hash: event.hash.0,
            r#type: event.kind.as_str(),
            event: event.name,
            user_id: event.user_id,
            anonymous_id: event.anonymous_id,
            timestamp: event.timestamp.0,
            received_at: envelope.received_at.0,
            properties: event.properties,
            context: event.context,
            extra: event.extra,
            client_ip: envelope.client_ip.unwrap_or(Ipv6Addr::UNSPECIFIED),
            user_agent: envelope.user_agent,
            request_id: envelope.request_id,
            key_id: envelope.key.number(),
            flags: event.flags.0,
            log_partition,
            position: position.number(),
            // What the load generator's user agent says, without a geo database: next to nothing.
            enrichment: 1,
            browser: "",
            browser_version: 0,
            os: "",
            os_version: "",
            device_type: "",
            geo_country: "",
            geo_region: "",
            geo_city: "",
            geo_continent: "",
            geo_time_zone: "",
            geo_built: 0,
            utm_source: "",
            utm_medium: "",
            utm_campaign: "",
            utm_term: "",
            utm_content: "",
        }
    }
}
