"""Sends CloudEvents made by the project's own Python SDK, of which only the host and the key are set.

Usage: cloudevents_python.py HOST KEY COUNT
The modes take turns: structured, binary, batched. The SDK only writes messages; they are sent with `requests` and its
usual retries. Exits with 1 if one gets no 204 in the end.
"""

import json
import sys
from datetime import datetime, timezone

import requests
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

host, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
BATCH = 10


def event(number):
    attributes = {
        "id": f"e {number}",
        "source": "/café/orders",
        "type": "order.placed",
        "specversion": "1.0",
        "subject": f"user-{number % 97}",
        "time": datetime.now(tz=timezone.utc),
        "datacontenttype": "application/json",
        "region": "zürich",
    }
    return CloudEvent(attributes=attributes, data={"total": number / 7, "größe": "ü"})


def messages():
    number = 0
    while number < count:
        mode = (number // BATCH) % 3
        numbers = range(number, min(number + BATCH, count))
        number += BATCH
        if mode == 0:
            yield from (to_structured_event(event(each)) for each in numbers)
        elif mode == 1:
            yield from (to_binary_event(event(each)) for each in numbers)
        else:
            bodies = [json.loads(to_structured_event(event(each)).body) for each in numbers]
            headers = {"content-type": "application/cloudevents-batch+json"}
            yield HTTPMessage(headers=headers, body=json.dumps(bodies).encode())


session = requests.Session()
retry = Retry(total=10, backoff_factor=0.1, status_forcelist=[429, 503], allowed_methods=None)
session.mount("http://", HTTPAdapter(max_retries=retry))
for message in messages():
    headers = {**message.headers, "Authorization": f"Bearer {key}"}
    reply = session.post(f"{host}/api/v1/events", data=message.body, headers=headers, timeout=10)
    if reply.status_code != 204:
        sys.exit(f"{reply.status_code}: {reply.text}")
