"""Sends events with PostHog's Python SDK, of which only the host and the key are set, and the wire protocol.

Usage: posthog_python.py HOST KEY COUNT v0|v1
v1 is sent compressed. The calls take turns: capture, set, a page view. Exits with 1 if the SDK reports an error.
"""

import sys

from posthog import Posthog

host, key, count, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
errors = []
client = Posthog(
    key,
    host=host,
    capture_mode=mode,
    gzip=mode == "v1",
    on_error=lambda error, items: errors.append((error, len(items))),
)
for number in range(count):
    user = f"user-{number % 97}"
    if number % 3 == 0:
        client.capture("Order Completed", distinct_id=user, properties={"total": number / 7, "größe": "ü"})
    elif number % 3 == 1:
        client.set(distinct_id=user, properties={"plan": "pro", "age": number})
    else:
        client.capture("$pageview", distinct_id=user, properties={"$current_url": "https://shop.example/"})
client.shutdown()
for error in errors[:5]:
    print("the SDK reports", error, file=sys.stderr)
sys.exit(1 if errors else 0)
