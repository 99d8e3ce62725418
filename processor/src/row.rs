//! The row of an event: a function of its log record alone, in ClickHouse's `RowBinaryWithNamesAndTypes`.

use std::net::Ipv6Addr;

use crate::batch::Placed;

/// The columns, in the order in which [`write`] writes them. ClickHouse refuses a block whose names or types are not
/// its table's.
const COLUMNS: [(&str, &str); 20] = [
    ("tenant_id", "Int64"),
    ("project_id", "Int64"),
    ("event_id", "String"),
    ("event_hash", "UInt128"),
    ("type", "LowCardinality(String)"),
    ("event", "LowCardinality(String)"),
    ("user_id", "String"),
    ("anonymous_id", "String"),
    ("timestamp", "DateTime64(6, 'UTC')"),
    ("received_at", "DateTime64(6, 'UTC')"),
    ("properties", "String"),
    ("context", "String"),
    ("extra", "String"),
    ("client_ip", "IPv6"),
    ("user_agent", "LowCardinality(String)"),
    ("request_id", "UUID"),
    ("key_id", "Int64"),
    ("flags", "UInt8"),
    ("log_partition", "UInt32"),
    ("position", "UInt64"),
];

/// Bytes of a row beside its texts, their lengths included, at most.
const FIXED_BYTES: usize = 160;

/// The statement that takes a block.
pub(crate) fn statement() -> String {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("INSERT INTO events ({}) FORMAT RowBinaryWithNamesAndTypes", names.join(", "))
}

/// About how many bytes the row takes.
pub(crate) fn bytes_about(placed: &Placed<'_>) -> usize {
    let event = &placed.event;
    let texts = [
        event.id,
        event.name,
        event.user_id,
        event.anonymous_id,
        event.properties,
        event.context,
        event.extra,
    ];
    FIXED_BYTES + placed.envelope.user_agent.len() + texts.iter().map(|text| text.len()).sum::<usize>()
}

/// Appends what stands before the first row.
pub(crate) fn write_header(out: &mut Vec<u8>) {
    length(out, COLUMNS.len());
    for (name, _) in COLUMNS {
        text(out, name);
    }
    for (_, kind) in COLUMNS {
        text(out, kind);
    }
}

/// Appends the event's row.
pub(crate) fn write(out: &mut Vec<u8>, placed: &Placed<'_>) {
    let (envelope, event) = (&placed.envelope, &placed.event);
    out.extend_from_slice(&envelope.tenant.0.to_le_bytes());
    out.extend_from_slice(&envelope.project.0.to_le_bytes());
    text(out, event.id);
    out.extend_from_slice(&event.hash.0.to_le_bytes());
    text(out, event.kind.as_str());
    text(out, event.name);
    text(out, event.user_id);
    text(out, event.anonymous_id);
    out.extend_from_slice(&event.timestamp.0.to_le_bytes());
    out.extend_from_slice(&envelope.received_at.0.to_le_bytes());
    text(out, event.properties);
    text(out, event.context);
    text(out, event.extra);
    out.extend_from_slice(&envelope.client_ip.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
    text(out, envelope.user_agent);
    // Two numbers of 64 bits, the high one first, each with its lowest byte first.
    let (high, low) = envelope.request_id.as_u64_pair();
    out.extend_from_slice(&high.to_le_bytes());
    out.extend_from_slice(&low.to_le_bytes());
    out.extend_from_slice(&envelope.key.number().to_le_bytes());
    out.push(event.flags.0);
    out.extend_from_slice(&placed.partition.to_le_bytes());
    out.extend_from_slice(&placed.position.number().to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// An unsigned LEB128 number: seven bits a byte, the lowest first.
fn length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    out.push(length.to_le_bytes()[0]);
}
