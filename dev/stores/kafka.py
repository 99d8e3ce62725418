"""Kafka 4.3 as one KRaft node (broker and controller in one), its jars fetched by Maven once.

Durability is Kafka's default: acknowledged records survive the death of the process, not that of the machine.
Topics are made by `weir migrate`, never by a stray client.
"""

import base64
import hashlib
import shutil
import uuid

import workspace
from checks import MissingTool
from console import run_quietly, step
from process import Spec

COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
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


def check_tools():
    if shutil.which("java") is None:
        raise MissingTool("Java, which Kafka needs,", "default-jre-headless")
    if not jars_folder().exists() and shutil.which("mvn") is None:
        raise MissingTool("Maven, which fetches Kafka,", "maven")


def install():
    check_tools()
    fetch(jars_folder())


# Where records are of no use once they are acknowledged: a bench writes a gigabyte in seconds. For each partition.
FORGETFUL = """\
log.segment.bytes=33554432
log.retention.bytes=67108864
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
"""


def reached_at(port):
    """More properties: clients are sent to this port, where a proxy is."""
    return f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n" if port else ""


def spec(home, log, port, controller_port, more_properties=""):
    jars = jars_folder()
    fetch(jars)
    folder = workspace.make_folder(home / "kafka")
    properties = folder / "server.properties"
    text = PROPERTIES.format(port=port, controller_port=controller_port, folder=folder)
    workspace.write_atomically(properties, text + more_properties)
    class_path = ["-cp", f"{jars}/*"]
    if not (folder / "data" / "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        with step("Kafka: creating its data folder"):
            # `--cluster-id=` in one word: a random id may begin with a dash.
            run_quietly(
                [
                    "java",
                    *class_path,
                    "kafka.tools.StorageTool",
                    "format",
                    f"--cluster-id={cluster}",
                    "-c",
                    str(properties),
                ],
                f"Kafka cannot create its data folder in {folder}",
            )
    log_file = log / "kafka.log"
    begin = log_file.stat().st_size if log_file.exists() else 0
    return Spec(
        name="kafka",
        argv=["java", *JAVA_OPTIONS, *class_path, "kafka.Kafka", properties],
        log=log_file,
        is_ready=lambda: says_started(log_file, begin),
    )


def jars_folder():
    pins = (workspace.DEV / "kafka-pom.xml").read_bytes()
    return workspace.CACHE / f"kafka-{hashlib.sha256(pins).hexdigest()[:12]}"


def fetch(jars):
    with workspace.locked(workspace.CACHE / "packages.lock", None):
        if jars.exists():
            return
        unfinished = workspace.CACHE / "kafka.unfinished"
        repository = workspace.CACHE / "maven"
        shutil.rmtree(unfinished, ignore_errors=True)
        with step("downloading Kafka 4.3 (about 110 MB with Maven's own parts); once"):
            run_quietly(
                [
                    *("mvn", "-B", "-q", "-f", str(workspace.DEV / "kafka-pom.xml"), COPY_JARS),
                    *("-DincludeScope=runtime", f"-DoutputDirectory={unfinished}", f"-Dmaven.repo.local={repository}"),
                ],
                "cannot download Kafka's jars: check the network (and Maven's settings), then try again",
            )
        unfinished.rename(jars)
        shutil.rmtree(repository, ignore_errors=True)


def says_started(log_file, begin):
    """The broker answers some requests before it may serve topics; this line comes once it does."""
    with open(log_file, "rb") as log:
        log.seek(begin)
        return b"Kafka Server started" in log.read()
