"""Rows that look like real ones: a web shop's and an app's events, in the order of receipt, the same in every run."""

import json
import random
import uuid

# What the processor inserts at once.
BLOCK_ROWS = 25_000
DAYS = 30
START_MICROS = 1_793_491_200_000_000  # 2026-11-01
DAY_MICROS = 86_400_000_000
# Tenant, project, its share of all events, its users.
STREAMS = [(1, 1, 0.70, 40_000), (2, 2, 0.25, 10_000), (3, 3, 0.05, 500)]
NAMES = ["page_viewed", "product_viewed", "button_clicked", "search", "cart_updated", "order_completed", "signed_up"]
NAMES += [f"feature_{i}_used" for i in range(23)]
PLANS = ["free", "free", "free", "starter", "pro", "enterprise"]
AGENTS = [f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{v}.0 Safari/537.36" for v in range(100, 140)]


class Rows:
    def __init__(self, count):
        self.random = random.Random(7)
        self.count = count
        self.sessions = [f"s{self.random.getrandbits(64):016x}" for _ in range(5_000)]
        self.paths = [f"/{self.random.choice('abcdefgh')}/{i}/item-{i * 7919 % 100_003}" for i in range(3_000)]

    def zipf(self, n):
        """0 is the most frequent."""
        return min(int(n ** self.random.random()) - 1, n - 1)

    def properties(self, name):
        r = self.random
        found = {
            "path": self.paths[self.zipf(len(self.paths))],
            "plan": r.choice(PLANS),
            "session_id": r.choice(self.sessions),
            "duration_ms": r.randrange(20, 30_000),
            "logged_in": r.random() < 0.6,
        }
        if name in ("order_completed", "cart_updated"):
            items = [
                {"sku": f"SKU-{self.zipf(5_000):05}", "price": r.randrange(100, 90_000) / 100, "quantity": r.randrange(1, 4)}
                for _ in range(r.randrange(1, 5))
            ]
            found |= {"order_id": f"o-{r.getrandbits(40)}", "amount": round(sum(i["price"] for i in items), 2)}
            found |= {"currency": r.choice(["EUR", "USD", "GBP"]), "items": items}
        elif name == "search":
            found |= {"query": " ".join(r.choice(["red", "shoes", "tent", "lamp", "42", "größe"]) for _ in range(3))}
            found |= {"results": r.randrange(500)}
        elif name.startswith("feature"):
            found |= {f"{name}_option": r.choice(["a", "b", "c"]), "experiment": {"id": r.randrange(40), "variant": "B"}}
        else:
            found |= {"referrer": f"https://example.org{self.paths[self.zipf(300)]}", "scroll": r.random()}
        return json.dumps(found, separators=(",", ":"), ensure_ascii=False)

    def context(self):
        r = self.random
        page = {"url": f"https://shop.example.com{self.paths[self.zipf(3_000)]}?utm_source=news", "title": "Shop"}
        device = {"type": r.choice(["desktop", "mobile"]), "width": r.choice([1920, 1440, 390]), "height": 900}
        library = {"name": "analytics.js", "version": "2.1.0"}
        return json.dumps({"library": library, "page": page, "device": device, "locale": "de-DE"}, separators=(",", ":"))

    def __iter__(self):
        r = self.random
        for at in range(self.count):
            tenant, project, _, users = r.choices(STREAMS, [stream[2] for stream in STREAMS])[0]
            name = NAMES[self.zipf(len(NAMES))]
            received = START_MICROS + at * DAYS * DAY_MICROS // self.count
            # Most are sent at once; phones send hours later.
            delay = r.randrange(3_000_000) if r.random() < 0.95 else r.randrange(DAY_MICROS)
            user = self.zipf(users) if r.random() < 0.5 else r.randrange(users)
            yield {
                "tenant_id": tenant,
                "project_id": project,
                "event_id": str(uuid.UUID(int=r.getrandbits(128))),
                "event_hash": str(r.getrandbits(128)),
                "type": "track",
                "event": name,
                "user_id": f"user-{user}" if r.random() < 0.7 else "",
                "anonymous_id": str(uuid.UUID(int=user << 64 | tenant)),
                "timestamp": (received - delay) / 1_000_000,
                "received_at": received / 1_000_000,
                "properties": self.properties(name),
                "context": self.context(),
                "extra": "",
                "client_ip": f"::ffff:10.{user >> 16 & 255}.{user >> 8 & 255}.{user & 255}",
                "user_agent": AGENTS[user % len(AGENTS)],
                "request_id": str(uuid.UUID(int=at // 10)),
                "key_id": project,
                "flags": 0,
                "log_partition": at % 8,
                "position": at // 80 << 16 | at % 80 // 8,
            }
