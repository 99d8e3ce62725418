"""The SDKs, by their programs, and what each program's events look like when they are stored."""

import json
import os
import re
from typing import NamedTuple

import workspace

CHROMIUM = os.environ.get("CHROMIUM") or "chromium"
NAMED = "JSONExtractString(properties, 'größe') = 'ü \"<&>\" 😀' AND JSONExtractFloat(properties, 'total') >= 0"
ITEMS = "JSONExtractString(properties, 'items', 1, 'sku') = 'a'"
GOOD = f"{NAMED} AND {ITEMS}"


class Sdk(NamedTuple):
    """`rows` has a condition for each kind of call that takes turns; each event must meet that of its turn."""

    language: str
    program: str
    package: str
    rows: tuple
    # What weir answers if all is well.
    success: int = 200
    # Whether it gives each event an id. Without one, weir takes what is sent again for something new.
    has_ids: bool = True
    # Behind host, key and count.
    more: tuple = ()
    count: int = 1_000

    @property
    def name(self):
        return f"{self.package} ({self.language})"


SEGMENT = (
    f"type = 'track' AND event = 'Order Completed' AND user_id != '' AND {GOOD}",
    f"type = 'identify' AND user_id != '' AND JSONExtractString(properties, 'plan') = 'pro' AND {GOOD}",
    f"type = 'page' AND event = 'Home' AND user_id != '' AND {GOOD}",
    f"type = 'screen' AND event = 'Start' AND startsWith(anonymous_id, 'anonymous-') AND {GOOD}",
    f"type = 'group' AND JSONExtractString(extra, 'groupId') = 'acme' AND {GOOD}",
    "type = 'alias' AND user_id != '' AND startsWith(JSONExtractString(extra, 'previousId'), 'anonymous-')",
)
# RudderStack's identify and group calls carry their traits in the context.
RUDDER = (
    SEGMENT[0],
    "type = 'identify' AND user_id != '' AND JSONExtractString(context, 'traits', 'plan') = 'pro'",
    *SEGMENT[2:],
)
POSTHOG = (
    f"type = 'track' AND event = 'Order Completed' AND user_id != '' AND {GOOD}",
    "type = 'identify' AND user_id != '' AND (JSONExtractString(properties, '$set', 'plan') = 'pro' "
    "OR JSONExtractString(extra, '$set', 'plan') = 'pro')",
    f"type = 'page' AND event = '$pageview' AND user_id != '' AND {GOOD}",
    "type = 'group' AND startsWith(JSONExtractString(properties, '$group_key'), 'acme-') "
    "AND JSONHas(properties, '$group_set', 'größe')",
    "type = 'alias' AND startsWith(JSONExtractString(properties, 'alias'), 'alias-')",
)
CLOUDEVENT = (
    f"event = 'order.placed' AND JSONExtractString(extra, 'region') = 'zürich' AND user_id != '' "
    f"AND startsWith(event_id, '/orders e ') AND {GOOD}",
)
METERED = (f"event = 'tokens' AND user_id != '' AND startsWith(event_id, 'sdk-check event-') AND {GOOD}",)

# In browsers there is no screen, and nobody is known before the first identify.
TRACK_WEB = f"type = 'track' AND event = 'Order Completed' AND anonymous_id != '' AND {GOOD}"
SEGMENT_WEB = (TRACK_WEB, *SEGMENT[1:3], *SEGMENT[4:])
RUDDER_WEB = (TRACK_WEB, *RUDDER[1:3], *RUDDER[4:])
POSTHOG_WEB = (
    POSTHOG[0],
    "event = '$set' AND user_id != '' AND (JSONExtractString(properties, '$set', 'plan') = 'pro' "
    "OR JSONExtractString(extra, '$set', 'plan') = 'pro')",
    *POSTHOG[2:],
)


def browser(package, rows, name):
    """Fewer events: each is a request of its own, and the SDKs' queues in a browser hold a hundred."""
    return Sdk("browser", "browser.js", package, rows, more=(name,), count=200)


SDKS = [
    Sdk("node", "segment-node.js", "@segment/analytics-node", SEGMENT),
    Sdk("node", "rudder-node.js", "@rudderstack/rudder-sdk-node", RUDDER),
    Sdk("node", "posthog-node.js", "posthog-node", POSTHOG),
    Sdk("node", "cloudevents-node.js", "cloudevents", CLOUDEVENT, 204),
    Sdk("node", "openmeter-node.js", "@openmeter/sdk", METERED, 204),
    Sdk("go", "segment", "gopkg.in/segmentio/analytics-go.v3", SEGMENT),
    Sdk("go", "posthog", "github.com/posthog/posthog-go", POSTHOG, has_ids=False),
    Sdk("go", "cloudevents", "github.com/cloudevents/sdk-go/v2", CLOUDEVENT, 204),
    browser("@segment/analytics-next", SEGMENT_WEB, "segment"),
    browser("@rudderstack/analytics-js", RUDDER_WEB, "rudder"),
    browser("posthog-js", POSTHOG_WEB, "posthog"),
]


def version(sdk):
    """The one that is pinned."""
    folder = workspace.DEV / "sdks"
    if sdk.language != "go":
        return json.loads((folder / "node" / "package.json").read_text())["dependencies"][sdk.package]
    return re.search(rf"{re.escape(sdk.package)} v(\S+)", (folder / "go" / "go.mod").read_text())[1]
