"""Kafka 4.3 as one KRaft node (broker and controller in one).

Durability is Kafka's default: acknowledged records survive the death of the process, not that of the machine.
Topics are made by `weir migrate`, never by a stray client.
"""

import base64
import uuid

import tools
import workspace
from console import output_of, step
from processes import Spec

JAVA_OPTIONS = ["-Xms128m", "-Xmx512m", "-Dorg.apache.logging.log4j.level=INFO"]
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
# One node holds one copy of everything.
default.replication.factor=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A killed broker is let in again only when its old session has run out.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
# Small, for a developer's machine.
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=16777216
group.initial.rebalance.delay.ms=0
"""
# Where records are of no use once they are acknowledged: a bench writes a gigabyte in seconds. For each partition.
FORGETFUL = """\
log.segment.bytes=33554432
log.retention.bytes=67108864
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
"""


def reached_at(port):
    """More properties: clients are sent to this port, where a proxy is."""
    return f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"


def spec(home, port, controller_port, more_properties=""):
    java = ["java", *JAVA_OPTIONS, "-cp", f"{tools.kafka_jars()}/*"]
    folder, log = workspace.make_folder(home / "kafka"), home / "log" / "kafka.log"
    properties = folder / "server.properties"
    text = PROPERTIES.format(port=port, controller_port=controller_port, folder=folder)
    workspace.write_atomically(properties, text + more_properties)
    if not (folder / "data" / "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        with step("Kafka: creating its data folder"):
            # `--cluster-id=` in one word: a random id may begin with a dash.
            argv = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", properties]
            output_of(argv, f"Kafka cannot create its data folder in {folder}")
    begin = log.stat().st_size if log.exists() else 0
    return Spec("kafka", [*java, "kafka.Kafka", properties], log, lambda: says_started(log, begin))


def says_started(log_file, begin):
    """The broker answers some requests before it may serve topics; this line comes once it does."""
    with open(log_file, "rb") as log:
        log.seek(begin)
        return b"Kafka Server started" in log.read()
