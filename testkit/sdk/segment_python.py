"""Sends events with Segment's Python SDK, of which only the host and the write key are set.

Usage: segment_python.py HOST WRITE_KEY COUNT PREFIX
The kinds take turns: track, identify, page. Message ids are PREFIX-0 to PREFIX-(COUNT-1), so that a second run
sends the same events again. Exits with 1 if the SDK reports an error.
"""

import sys

from segment.analytics.client import Client

host, key, count, prefix = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
errors = []
client = Client(
    key, host=host, max_queue_size=count, on_error=lambda error, items: errors.append((error, len(items)))
)
for number in range(count):
    user, message = f"user-{number % 97}", f"{prefix}-{number}"
    if number % 3 == 0:
        client.track(user, "Order Completed", {"total": number / 7, "größe": "ü"}, message_id=message)
    elif number % 3 == 1:
        client.identify(user, {"plan": "pro", "age": number}, message_id=message)
    else:
        client.page(user, "docs", "Home", {"path": "/"}, message_id=message)
client.flush()
client.shutdown()
for error in errors[:5]:
    print("the SDK reports", error, file=sys.stderr)
sys.exit(1 if errors else 0)
