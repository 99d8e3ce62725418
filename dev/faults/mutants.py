"""Rules broken on purpose, and the faults that show it, in the order in which they are tried.

A campaign that stays green with one of these proves nothing.
"""

# By mutant: shape and name of each fault that may show it.
SHOWN_BY = {
    "reply-before-durable": (("run", "kill-at-log.taken"), ("run", "kill-at-log.taken")),
    "commit-before-insert": (("run", "kill-at-processor.before_insert"),),
    "no-cas": (("cluster", "zombie-at-processor.before_commit"),),
    "no-dedup": (("run", "kill-weir"),),
    "clickhouse-token": (("run", "kill-at-processor.before_commit"), ("run", "kill-at-processor.after_insert")),
    "no-read-back": (("run", "kill-at-processor.before_commit"),),
    "now-in-row": (("cluster", "zombie-at-processor.before_insert"),),
    "quota-in-memory": (("run", "kill-weir"),),
    "log-without-fsync": (("disk", "power-cut"), ("disk", "power-cut")),
    "unbounded-queue": (("run", "bodies-held-back"),),
}
# What ClickHouse needs to know a block again.
TOKEN_WINDOW = "ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 1000"
