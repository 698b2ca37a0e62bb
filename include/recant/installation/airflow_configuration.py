"""`airflow.cfg` of an installation: written whole at every start, readable by the owner only.

With `AIRFLOW_HOME` set to its folder, the `airflow` command of the same environment works on this installation.
"""

from __future__ import annotations

import base64
import configparser
import io
import json
import os
import re
import secrets
from pathlib import Path

from recant.installation.home import Home
from recant.installation.ports import LOOPBACK
from recant.installation.secrets import keep_secret
from recant.settings import Settings

USER = "admin"
FILE_NAME = "airflow.cfg"


def passwords_file(home: Home) -> Path:
    """What SimpleAuthManager reads: a JSON object of user names and passwords."""
    return home.secrets / "airflow_passwords.json"


def admin_password(home: Home) -> str:
    """The password of `admin`, generated the first time."""
    text = keep_secret(passwords_file(home), lambda: json.dumps({USER: secrets.token_urlsafe(18)}))
    return str(json.loads(text)[USER])


def configured_port(home: Home) -> int | None:
    """The API server's port as last written; None before the first start."""
    try:
        text = (home.airflow / FILE_NAME).read_text("utf-8")
    except FileNotFoundError:
        return None
    found = re.search(r"^port = (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def render(settings: Settings, *, sql_alchemy_conn: str, port: int) -> str:
    """The file's text. Holds passwords."""
    home = Home(settings.home)
    sections = {
        "core": _core(settings, home, port),
        "database": {"sql_alchemy_conn": sql_alchemy_conn, "load_default_connections": "False"},
        "api": _api(home, port),
        "api_auth": {"jwt_secret": keep_secret(home.secrets / "airflow_jwt_secret", lambda: secrets.token_urlsafe(64))},
        "logging": _logging(home),
        "scheduler": {"scheduler_idle_sleep_time": "0.1", "catchup_by_default": "False"},
        "dag_processor": {
            "dag_bundle_storage_path": str(home.airflow / "bundles"),
            "refresh_interval": "5",
            "bundle_refresh_check_interval": "2",
            "min_file_process_interval": "120",  # of unchanged files; changed ones are read at the next refresh
            "print_stats_interval": "0",
        },
        "openlineage": {
            "namespace": settings.lineage_namespace,
            "transport": json.dumps(transport(home.lineage, settings.marquez_url)),
        },
    }
    return _ini(sections)


def transport(folder: Path, marquez_url: str | None) -> dict[str, object]:
    """Where Airflow's OpenLineage events go. A dead Marquez costs two seconds once, not half a minute of retries."""
    transports: dict[str, object] = {
        "file": {"type": "file", "log_file_path": str(folder / "airflow-events.ndjson"), "append": True}
    }
    if marquez_url:
        transports["marquez"] = {"type": "http", "url": marquez_url, "timeout": 2, "retry": {"total": 0}}
    return {"type": "composite", "continue_on_failure": True, "transports": transports}


def _core(settings: Settings, home: Home, port: int) -> dict[str, str]:
    parallelism = max(4, min(8, 2 * (os.cpu_count() or 1)))
    return {
        "dags_folder": str(settings.project_root / "dags"),
        "plugins_folder": str(settings.project_root / "plugins"),
        "executor": "LocalExecutor",
        "parallelism": str(parallelism),
        "max_active_tasks_per_dag": str(parallelism),
        "load_examples": "False",
        "dags_are_paused_at_creation": "False",
        "hostname_callable": "socket.gethostname",  # the default asks the DNS
        "fernet_key": keep_secret(home.secrets / "airflow_fernet_key", _fernet_key),
        "execution_api_server_url": f"http://{LOOPBACK}:{port}/execution/",
        "simple_auth_manager_users": f"{USER}:admin",
        "simple_auth_manager_passwords_file": str(passwords_file(home)),
    }


def _api(home: Home, port: int) -> dict[str, str]:
    return {
        "host": LOOPBACK,
        "port": str(port),
        "base_url": f"http://{LOOPBACK}:{port}",
        "workers": "1",
        "secret_key": keep_secret(home.secrets / "airflow_api_secret_key"),
        "instance_name": "Recant",
    }


def _logging(home: Home) -> dict[str, str]:
    return {
        "base_log_folder": str(home.logs / "airflow"),
        "dag_processor_child_process_log_directory": str(home.logs / "airflow" / "dag_processor"),
        "file_task_handler_new_folder_permissions": "0o700",
        "file_task_handler_new_file_permissions": "0o600",
        "colored_console_log": "False",
    }


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii")


def _ini(sections: dict[str, dict[str, str]]) -> str:
    parser = configparser.RawConfigParser()
    parser.read_dict({name: {k: v.replace("%", "%%") for k, v in s.items()} for name, s in sections.items()})
    text = io.StringIO()
    parser.write(text)
    return "# Written by `recant up`; changes are lost at the next one.\n" + text.getvalue()
