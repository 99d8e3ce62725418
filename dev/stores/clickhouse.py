"""ClickHouse: the server's own binary where one is on the PATH, else its engine from a Python package behind a shim.

Both speak HTTP on 127.0.0.1 and keep their data in folders of their own below `.run`, because their formats on disk
need not agree. See clickhouse_shim.py for what the shim can do.
"""

import shutil
from xml.sax.saxutils import escape

import looks
import tools
import workspace
from processes import Spec

SERVER_CONFIG = """<clickhouse>
    <logger><level>warning</level><console>1</console></logger>
    <listen_host>127.0.0.1</listen_host>
    <http_port>{port}</http_port>
    <timezone>UTC</timezone>
    <path>{folder}/</path>
    <tmp_path>{folder}/tmp/</tmp_path>
    <user_files_path>{folder}/user_files/</user_files_path>
    <format_schema_path>{folder}/format_schemas/</format_schema_path>
    <mark_cache_size>268435456</mark_cache_size>
    <users><default>
        <password></password><networks><ip>127.0.0.1</ip></networks>
        <profile>default</profile><quota>default</quota>
    </default></users>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
</clickhouse>
"""


def data_folder(home):
    return home / ("clickhouse-server" if shutil.which("clickhouse") else "clickhouse")


def spec(home, port):
    binary, folder = shutil.which("clickhouse"), workspace.make_folder(data_folder(home))
    if binary:
        config = folder / "config.xml"
        workspace.write_atomically(config, SERVER_CONFIG.format(port=port, folder=escape(str(folder))))
        argv = [binary, "server", f"--config-file={config}"]
    else:
        shim = workspace.DEV / "stores" / "clickhouse_shim.py"
        argv = [tools.store_python(), shim, "--folder", folder, "--port", port]
    return Spec(
        name="clickhouse",
        argv=argv,
        log=home / "log" / "clickhouse.log",
        is_ready=lambda: answers_ping(port),
        # Dates in replies must not depend on the developer's time zone.
        env={"TZ": "UTC"},
    )


def answers_ping(port):
    return looks.answers(port, "ping", b"Ok.\n")
