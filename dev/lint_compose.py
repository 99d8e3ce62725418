"""Lints Dockerfile and docker-compose.yml, which no test here can run. Needs the packages of requirements-test.txt.

* hadolint on the Dockerfile; the Compose specification's own schema on docker-compose.yml.
* Every variable that either sets for weir is a setting of weir: a misspelt one would be ignored without a word.
* Everything that runs weir can do nothing that it need not, and is published on this machine only.
* Every image but weir's own names a version.
* .dockerignore lets through each member of the workspace.

Prints one line for each mistake; exit code 1 if there is any.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LINTERS = [
    [BIN / "hadolint", "--no-color", "Dockerfile"],
    [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
]

NAME = re.compile(r'"([A-Z]+_[A-Z0-9_]+)"')
SECRET = re.compile(r'\.(?:secret|optional_secret)\(\s*"([A-Z]+_[A-Z0-9_]+)"')
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def main():
    sound = all([subprocess.run(linter, cwd=ROOT).returncode == 0 for linter in LINTERS])
    mistakes = []
    if sound:
        compose = YAML(typ="safe", pure=True).load(ROOT / "docker-compose.yml")
        mistakes = [*check_dockerfile(), *check_compose(compose), *check_dockerignore()]
    for mistake in mistakes:
        print(mistake)
    return 0 if sound and not mistakes else 1


def check_dockerfile():
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    set_here = re.findall(r"(\w+)=", " ".join(re.findall(r"^ENV (.*)$", text, re.MULTILINE)))
    for name in sorted(set(set_here) - known_settings()):
        yield f"Dockerfile: weir has no setting {name}"


def check_compose(compose):
    for name, service in compose["services"].items():
        place = f"docker-compose.yml: {name}:"
        if "build" in service:
            yield from (f"{place} {mistake}" for mistake in check_weir(service))
        elif not re.search(r":\d+\.\d", service["image"]):
            yield f"{place} the image {service['image']} names no version"
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{place} the port {port} is open to the network"


def check_weir(service):
    for setting in sorted(set(service["environment"]) - known_settings()):
        yield f"weir has no setting {setting}"
    for key, value in HARDENED.items():
        if service.get(key) != value:
            yield f"{key} is not {json.dumps(value)}"


def check_dockerignore():
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    members = re.search(r"^members = \[(.*?)\]", (ROOT / "Cargo.toml").read_text(), re.MULTILINE | re.DOTALL)
    for member in re.findall(r'"([^"]+)"', members.group(1)):
        # What is let through is let through with all that is in it.
        if f"!{member.split('/')[0]}" not in let_through:
            yield f".dockerignore: the workspace's member {member} is kept out of the build"


def known_settings():
    """All names that weir's source has in quotes: a misspelt one is none of them. A secret may stand in a file, too."""
    sources = [*ROOT.glob("*/src/**/*.rs"), *ROOT.glob("*/*/src/**/*.rs")]
    text = "".join(source.read_text() for source in sources if "tests" not in source.parts)
    return set(NAME.findall(text)) | {f"{name}_FILE" for name in SECRET.findall(text)}


if __name__ == "__main__":
    sys.exit(main())
