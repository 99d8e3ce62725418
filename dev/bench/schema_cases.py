"""What is compared: tables that differ from `events` in one thing each, and the queries that are put to them."""

from dataclasses import dataclass, field

RAW = "if(properties = '', '{}', properties)"
PAIRS = f"CAST(JSONExtractKeysAndValuesRaw({RAW}), 'Map(String, String)')"
TENANT = "tenant_id = 1 AND project_id = 1"
WEEK = "received_at >= '2026-11-08' AND received_at < '2026-11-15'"
DAY = "timestamp >= '2026-11-10' AND timestamp < '2026-11-11'"


@dataclass
class Case:
    name: str
    # Statements on the table {t}, made as `events` is.
    alter: list = field(default_factory=list)
    settings: dict = field(default_factory=dict)
    # How a property is read there, as text and as a number.
    text: str = "JSONExtractString(properties, '{0}')"
    number: str = "JSONExtractFloat(properties, '{0}')"


JSON_READ = {"text": "{1}.{0}.:String", "number": "{1}.{0}::Float64"}
MAP_READ = {"text": "trim(BOTH '\"' FROM {1}['{0}'])", "number": "toFloat64OrZero({1}['{0}'])"}


def reading(how, column):
    return {kind: text.replace("{1}", column) for kind, text in how.items()}


PROPERTIES = [
    Case("String"),
    Case(
        "String and 3 materialized columns",
        [
            "ADD COLUMN p_plan LowCardinality(String) MATERIALIZED JSONExtractString(properties, 'plan')",
            "ADD COLUMN p_path String MATERIALIZED JSONExtractString(properties, 'path')",
            "ADD COLUMN p_amount Float64 MATERIALIZED JSONExtractFloat(properties, 'amount')",
        ],
        text="p_{0}",
        number="p_{0}",
    ),
    Case(
        "String and Map",
        [f"ADD COLUMN pairs Map(String, String) MATERIALIZED {PAIRS} CODEC(ZSTD(1))"],
        **reading(MAP_READ, "pairs"),
    ),
    Case(
        "Map instead",
        [
            "DROP COLUMN properties",
            "ADD COLUMN properties String EPHEMERAL",
            f"ADD COLUMN pairs Map(String, String) DEFAULT {PAIRS} CODEC(ZSTD(1))",
        ],
        **reading(MAP_READ, "pairs"),
    ),
    Case(
        "String and JSON",
        [f"ADD COLUMN typed JSON MATERIALIZED {RAW}::JSON CODEC(ZSTD(1))"],
        **reading(JSON_READ, "typed"),
    ),
    Case(
        "JSON instead",
        ["MODIFY COLUMN properties JSON CODEC(ZSTD(1))"],
        {"input_format_binary_read_json_as_string": 1},
        **reading(JSON_READ, "properties"),
    ),
]

PROPERTY_QUERIES = {
    "orders of a week by plan": "SELECT {plan}, count(), sum({amount}) FROM {t} WHERE {tenant} AND {week} AND event = 'order_completed' GROUP BY 1",
    "one path, a week, all events": "SELECT count() FROM {t} WHERE {tenant} AND {week} AND {path} = '{value}'",
    "plans of all events, 30 days": "SELECT {plan}, count() FROM {t} WHERE {tenant} GROUP BY 1",
    "whole rows of 1,000 events": "SELECT * FROM {t} WHERE {tenant} AND {week} AND event = 'search' ORDER BY received_at LIMIT 1000",
}

BY_TIME = "ADD INDEX by_timestamp timestamp TYPE minmax GRANULARITY 1"
BLOOM = "ADD INDEX by_{0} {0} TYPE bloom_filter(0.01) GRANULARITY 1"
BY_USER = [BLOOM.format("user_id"), BLOOM.format("anonymous_id")]
PROJECTION = [
    "MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild'",
    "ADD PROJECTION users (SELECT {0} ORDER BY tenant_id, project_id, user_id, received_at)",
]

INDEXES = [
    Case("as it was"),
    Case("minmax of timestamp", [BY_TIME]),
    Case("and Bloom filters of user_id, anonymous_id", [BY_TIME, *BY_USER]),
    Case("and of event_id", [BY_TIME, *BY_USER, BLOOM.format("event_id")]),
    Case("projection of positions by user", [text.format("_part_offset") for text in PROJECTION]),
    Case("projection of rows by user", [text.format("*") for text in PROJECTION]),
]

INDEX_QUERIES = {
    "events by name, a week": "SELECT event, count() FROM {t} WHERE {tenant} AND {week} GROUP BY event",
    "a day by timestamp alone": "SELECT count() FROM {t} WHERE {tenant} AND {day}",
    "a day by timestamp, received_at implied": "SELECT count() FROM {t} WHERE {tenant} AND {day} AND received_at >= '2026-11-09'",
    "daily users, 30 days": "SELECT toDate(timestamp), uniq(user_id) FROM {t} WHERE {tenant} GROUP BY 1",
    "history of a rare user": "SELECT event, timestamp, properties FROM {t} WHERE {tenant} AND user_id = 'user-31234' ORDER BY timestamp",
    "history of a busy user": "SELECT event, timestamp, properties FROM {t} WHERE {tenant} AND user_id = 'user-20' ORDER BY timestamp",
    "one event by its id": "SELECT * FROM {t} WHERE {tenant} AND event_id = '{id}'",
}

CHOSEN = "and of event_id"
NAMED = "(log_partition, position) IN (SELECT p, q FROM named)"
ERASURES = {
    "ALTER TABLE ... DELETE": f"ALTER TABLE measured DELETE WHERE {NAMED} SETTINGS mutations_sync = 1",
    "DELETE FROM": f"DELETE FROM measured WHERE {NAMED} SETTINGS lightweight_deletes_sync = 1",
}

# Documents that a client may send, and what makes each one hard.
HARD = {
    "integer beyond 2^64": '{"n":123456789012345678901234567890}',
    "integer beyond 2^53": '{"n":9007199254740993}',
    "digits of a decimal": '{"n":0.12345678901234567890}',
    "trailing zero": '{"n":1.10}',
    "null": '{"n":null}',
    "key twice": '{"n":1,"n":2}',
    "key with a dot": '{"a.b":1,"a":{"b":2}}',
    "order of keys, spaces": '{"b": 1, "a": 2}',
    "list of mixed types": '{"n":[1,"a",{"b":null}]}',
    "empty object": '{"n":{}}',
}
