"""Sends events with RudderStack's Python SDK, of which only the host and the write key are set.

Usage: rudder_python.py HOST WRITE_KEY COUNT
The kinds take turns: track, identify, group. Exits with 1 if the SDK reports an error.
"""

import sys

import rudderstack.analytics as analytics

host, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
errors = []
analytics.dataPlaneUrl = host
analytics.host = host
analytics.write_key = key
analytics.on_error = lambda error, items: errors.append((error, len(items)))
for number in range(count):
    user = f"user-{number % 97}"
    if number % 3 == 0:
        analytics.track(user, "Order Completed", {"total": number / 7, "größe": "ü"})
    elif number % 3 == 1:
        analytics.identify(user, {"plan": "pro", "age": number})
    else:
        analytics.group(user, f"group-{number % 7}", {"name": "Acme"})
analytics.flush()
analytics.shutdown()
for error in errors[:5]:
    print("the SDK reports", error, file=sys.stderr)
sys.exit(1 if errors else 0)
