"""`bench-ingest`: what an event costs `weir ingest`, next to what nothing can beat, by the size of batches.

Prints tables in Markdown. Compare ratios, not seconds, with another machine or another hour.
"""

import json
import statistics

import looks
from bench import rig as rigs
from console import Problem
from figures import headline, measured, numbers
from stores import kafka
from subject import CAP_THAT_IS_NEVER_REACHED as CAP
from subject import Load, load_shape

CONNECTIONS = 64
EVENT_BYTES = 300
# A load ends here even if it could go on: what it writes has to fit on a developer's disk. Whole batches of each
# connection.
EVENTS_MAX = CONNECTIONS * 50_000
WARM_UP_SECONDS = 2
# The floors that need no HTTP settle sooner.
PARSE_SECONDS = 1
PRODUCE_SECONDS = 4
LATENCY_SECONDS = 4
GOALS = (
    "Goals for weir as a multiple of the server that only reads the body: 1.8 at batches of 1, 2.4 of 10, 4.0 of 100. "
    "CPU-seconds per million events; decode, identify and frames are one thread from body to frames, the producer is "
    "the log fed ready frames at weir's pace; events/s accepted, and how busy the generator's one thread was, of 1"
)
LATENCY = "Latency at half of that (open loop), ms; goal: weir's p99 under 20"


def add_arguments(parser):
    parser.add_argument("--seconds", type=int, default=8, help="of load for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--batches", type=numbers, default="1,10,100,1000", help="events in a request")


def run(chosen):
    with rigs.built("bench", "ingest", True, kafka.FORGETFUL) as rig:
        keys = {}
        for name, limits in {"no cap": (), "capped": ("--quota", CAP)}.items():
            rig.ask(rigs.TEMPLATE, "tenant", "create", name, "--plan", "unlimited", *limits)
            keys[name] = rig.ask(rigs.TEMPLATE, "key", "create", name)["key"]
        # Never asked by ingest: it was there for its tables to be made, and would take CPU.
        rig.supervisor.end("clickhouse")
        process, listening = rig.serve("ingest", rigs.TEMPLATE)
        weir = process, listening["ingest"]
        floors = {batch: rig.serve_floor(batch) for batch in chosen.batches}
        headline()

        def costs(batch):
            uncapped, capped = (
                send(rig, *weir, keys[name], batch, chosen.seconds, "--events", EVENTS_MAX) for name in keys
            )
            floor = send(rig, *floors[batch], keys["no cap"], batch, chosen.seconds)
            parts = rig.floor("parse", "--batch", batch, "--seconds", PARSE_SECONDS)
            return {
                "no cap": uncapped["cpu"],
                "capped": capped["cpu"],
                "body read only": floor["cpu"],
                "no cap / body read": uncapped["cpu"] / floor["cpu"],
                "capped / body read": capped["cpu"] / floor["cpu"],
                **{name: parts[name] / 1000 for name in ("decode", "identify", "frames")},
                "producer": producer(rig, batch, int(uncapped["rate"] / batch)),
                "events/s": uncapped["rate"],
                "capped events/s": capped["rate"],
                "body read events/s": floor["rate"],
                "generator busy": uncapped["generator"],
            }

        def waits(batch):
            half = ["--rate", int(statistics.median(each["events/s"] for each in found[batch,]) / 2)]
            of_weir = send(rig, *weir, keys["no cap"], batch, LATENCY_SECONDS, *half)
            of_floor = send(rig, *floors[batch], keys["no cap"], batch, LATENCY_SECONDS, *half)
            pairs = (("weir", of_weir), ("body read only", of_floor))
            return {f"{who} {which}": each[which] for who, each in pairs for which in ("rate", "p50", "p99")}

        for key in keys.values():
            send(rig, *weir, key, chosen.batches[-1], WARM_UP_SECONDS)
        cells = [(batch,) for batch in chosen.batches]
        found = measured((GOALS, "batch"), chosen.rounds, cells, costs)
        measured((LATENCY, "batch"), chosen.rounds, cells, waits)


def send(rig, process, port, key, batch, seconds, *options):
    """What is spent between the first request and the last reply, by all events: CPU in microseconds an event, events a
    second, milliseconds, the generator's share of one core."""
    pid, url = rig.pid(process), f"http://127.0.0.1:{port}"
    options = [*load_shape(batch, CONNECTIONS), "--duration", f"{seconds}s", "--event-bytes", EVENT_BYTES, *options]
    before = looks.cpu_seconds(pid)
    load = Load(rig, "load", key, *options, WEIR_URL=url, TOKIO_WORKER_THREADS="1")
    try:
        report = load.report(seconds + 60)
    finally:
        load.end()
    spent, events = looks.cpu_seconds(pid) - before, report["events_accepted"]
    if events != report["events_sent"] or not events:
        raise Problem(f"{process}, batches of {batch}: not every event was accepted", json.dumps(report))
    return {
        "cpu": spent * 1e6 / events,
        "rate": report["events_per_second"],
        **{which: report["latency"][f"{which}_us"] / 1000 for which in ("p50", "p99")},
        "generator": report["generator_cpu_ms"] / report["elapsed_ms"],
    }


def producer(rig, batch, requests):
    pace = ["--requests", CONNECTIONS, "--rate", requests, "--seconds", PRODUCE_SECONDS]
    produced = rig.floor("produce", "--brokers", rig.environment["KAFKA_BROKERS"], "--batch", batch, *pace)
    return produced["cpu_ms"] * 1000 / produced["events"]
