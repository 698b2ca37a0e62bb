"""The compose file, read as Docker would: what can be known of it without an engine."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from recant.installation.airflow_configuration import transport
from recant.installation.postgres_configuration import INITDB_OPTIONS, parameters
from recant.settings import PROJECT_ROOT as ROOT

TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = [name for name, service in SERVICES.items() if service.get("restart") == "no"]
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")
SECRET = re.compile(r"PASSWORD|SECRET|_KEY$|DSN|CONN$|BROKER_URL|RESULT_BACKEND")
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")
REQUIRED = set(re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE))
OPTIONAL = dict(re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def scripts(language: str) -> list[tuple[str, str]]:
    """Programs inside the file as (service, text): those behind `python -c` or `sh -c`."""
    found = []
    for name, service in SERVICES.items():
        for words in (service.get("command", []), service.get("healthcheck", {}).get("test", [])):
            if language == "sh" and words[:1] == ["CMD-SHELL"]:
                found.append((name, words[1]))
            for interpreter, flag, text in zip(words, words[1:], words[2:], strict=False):
                if re.fullmatch(language, interpreter) and re.fullmatch("-[eu]*c", flag):
                    found.append((name, text))
    return found


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0,
    reason="Docker Compose is not installed",
)
def test_docker_compose_takes_it() -> None:
    """Where Compose is installed, it parses the file with every required variable set."""
    environment = {**os.environ, **dict.fromkeys(REQUIRED, "x")}
    done = subprocess.run(
        ["docker", "compose", "--file", "docker-compose.yml", "config", "--quiet"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_when_it_is_well(name: str) -> None:
    """A long-running service has a health check and comes back after a crash; a one-shot has neither."""
    service = SERVICES[name]
    assert ("healthcheck" in service) == (name not in ONE_SHOT)
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_waits_for_what_it_needs(name: str) -> None:
    """Until it is healthy, or has done its work; an embedder only needs its worker's network."""
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
        assert how["condition"] == ("service_started" if name == "embedder" else expected), needed


def test_every_image_has_a_version() -> None:
    """Nothing changes under a running installation; our own image is named by the project's version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    images = {name: service["image"] for name, service in SERVICES.items()}
    assert all(re.search(r":[\w.]*\d+\.\d+", image) for image in images.values()), images
    assert images["airflow-worker"] == f"recant:{project['version']}"
    assert images["marquez"].split(":")[1] == images["marquez-web"].split(":")[1]


def test_everything_is_published_on_loopback_only() -> None:
    """No port of any service is reachable from another machine, Redis' not even from this one."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert sorted(published) == ["airflow-api-server", "marquez", "marquez-web", "postgres"]


def test_no_secret_has_a_value_in_the_file() -> None:
    """Passwords, keys and addresses with passwords come from variables without a default."""
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET.search(variable) and not variable.endswith("_FILE"):
                used = VARIABLE.findall(str(value))
                assert used, f"{name}: {variable}"
                assert not [v for v in used if v[1] == "-"], f"{name}: {variable} has a default"


def test_no_secret_is_an_argument() -> None:
    """Commands and health checks, which any user of the host can list, hold no secret's value."""
    for name, service in SERVICES.items():
        words = [*service.get("command", []), *service.get("healthcheck", {}).get("test", [])]
        assert not [v for word in words for v in VARIABLE.findall(str(word)) if v[0] in REQUIRED], name


def test_a_missing_secret_says_what_to_do() -> None:
    """Each is required where it is first used, with the command that makes it."""
    hints = {name: hint for name, mark, hint in VARIABLE.findall(TEXT) if mark == "?"}
    assert set(hints) == REQUIRED
    assert set(hints.values()) == {"run `make env` first"}


def test_the_example_has_every_variable_with_its_default() -> None:
    """What is optional is commented out, with the value that the compose file uses without it."""
    defaults = {name: hint for name, mark, hint in VARIABLE.findall(TEXT) if mark == "-"}
    assert defaults == {**OPTIONAL, "RECANT_AGENT": "operator"}


def test_make_env_fills_every_secret(tmp_path: Path) -> None:
    """Each gets a value of its own, fit for a URL; only the owner can read them; a file that is there stays."""
    for name in ("Makefile", ".env.example", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(["make", "env"], cwd=tmp_path, check=True, capture_output=True)
    written = (tmp_path / ".env").read_text("utf-8")
    values = dict(re.findall(r"^([A-Z_]+)=(\S+)$", written, re.MULTILINE))
    assert values.keys() == REQUIRED
    assert len(set(values.values())) == len(values)
    assert all(re.fullmatch(r"[0-9a-f]{64}", v) for name, v in values.items() if name != "AIRFLOW_FERNET_KEY")
    assert re.fullmatch(r"[\w-]{43}=", values["AIRFLOW_FERNET_KEY"])
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    subprocess.run(["make", "env"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / ".env").read_text("utf-8") == written


def test_git_and_docker_leave_secrets_alone() -> None:
    """.env is ignored by git, and never part of what travels to the image's builder."""
    assert "/.env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")]
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines()[1] == "*"
    assert not [path for path in allowed if path.startswith(".")]


def test_airflow_knows_every_setting() -> None:
    """Each AIRFLOW__SECTION__KEY of the compose file and the Dockerfile is one that the installed Airflow reads."""
    used = set(re.findall(r"AIRFLOW__[A-Z_]+", TEXT + (ROOT / "Dockerfile").read_text("utf-8")))
    unknown = []
    for name in used:
        section, key = name.removeprefix("AIRFLOW__").lower().split("__")
        if key not in _airflow_options().get(section, {}):
            unknown.append(name)
    assert len(used) > 15
    assert not unknown


def test_airflow_tells_lineage_as_an_installation_does() -> None:
    """To a file and to Marquez, one going on without the other, with two seconds and no retries for the latter."""
    from openlineage.client.transport import get_default_factory

    told = json.loads(SERVICES["airflow-worker"]["environment"]["AIRFLOW__OPENLINEAGE__TRANSPORT"])
    embedded = transport(Path("/opt/airflow"), "http://marquez:5000")
    for configured in (told, embedded):
        configured["transports"]["file"].pop("log_file_path")  # type: ignore[index]
    assert told == embedded
    assert get_default_factory().create(told["transports"]["marquez"] | {"type": "http"}).timeout == 2


def test_inline_programs_are_well_formed() -> None:
    """Python behind `python -c` compiles, with Python 3.11's rules; shell behind `sh -c` parses."""
    python, shell = scripts("python"), scripts("sh") + scripts("bash")
    assert len(python) >= 4
    assert len(shell) >= 3
    for name, text in python:
        compile(text.replace("$$", "$"), name, "exec")
    for name, text in shell:
        done = subprocess.run(["bash", "-n"], input=text.replace("$$", "$"), capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stderr}"


def test_postgres_is_made_like_the_embedded_one() -> None:
    """The same authentication, encoding and sort order, so that both hold the same data in the same order."""
    options = SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()
    assert set(options) == set(INITDB_OPTIONS) - {"--no-instructions"}
    given = dict(word.removeprefix("--").split("=") for word in SERVICES["postgres"]["command"][1:])
    embedded = parameters(port=5432, durable=True)
    sized = {"shared_buffers", "maintenance_work_mem"}
    assert {k: v for k, v in given.items() if k not in sized} == {k: embedded[k] for k in given if k not in sized}


def test_first_boot_applies_our_sql() -> None:
    """The folder is mounted where the image looks, read-only; data is where PostgreSQL 18's image puts it."""
    postgres = SERVICES["postgres"]
    assert "./init-scripts:/docker-entrypoint-initdb.d:ro" in postgres["volumes"]
    assert "postgres:/var/lib/postgresql" in postgres["volumes"]
    assert "-pg18" in postgres["image"]
    script = ROOT / "init-scripts" / "9000_first_boot.sh"
    assert os.access(script, os.X_OK)
    read = set(re.findall(r"#   ([A-Z_]+_PASSWORD)", script.read_text("utf-8")))
    assert read <= postgres["environment"].keys()


def test_the_embedder_is_where_the_worker_looks() -> None:
    """On the worker's loopback, with its address in the volume that both share."""
    embedder, worker = SERVICES["embedder"], SERVICES["airflow-worker"]
    assert embedder["network_mode"] == "service:airflow-worker"
    assert "home:/var/lib/recant" in embedder["volumes"]
    assert "home:/var/lib/recant" in worker["volumes"]
    assert "/var/lib/recant/run/embedder.json" in embedder["command"]


def _airflow_options() -> dict[str, dict[str, Any]]:
    """Sections and options of Airflow and of the two providers, from their own descriptions."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    core = next(path for folder in folders for path in [folder / "config_templates" / "config.yml"] if path.exists())
    found = {section: body["options"] for section, body in yaml.safe_load(core.read_text("utf-8")).items()}
    for provider in ("celery", "openlineage"):
        file = next(f for folder in folders if (f := folder / "providers" / provider / "get_provider_info.py").exists())
        info = _load(file).get_provider_info()
        found |= {section: body["options"] for section, body in info["config"].items()}
    return found


def _load(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"described_{file.parent.name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
