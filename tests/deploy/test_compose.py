"""What deploy/compose and the Dockerfile say agrees with each other and with the program."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.app import topic_specs
from worker.config import load
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose"
PROMETHEUS = ROOT / "deploy" / "prometheus" / "prometheus.yml"
YAML_FILES = sorted(path for path in (ROOT / "deploy").rglob("*") if path.suffix in (".yaml", ".yml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(read(COMPOSE / "compose.yaml")["services"])


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load(COMPOSE / "tagstream.yaml", [], {})


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in YAML_FILES])
def test_every_yaml_file_parses(path: Path) -> None:
    """Each holds one document that is not empty."""
    assert read(path)


def test_prometheus_scrapes_the_workers(services: dict[str, Any], settings: Settings) -> None:
    """It looks up a service that compose has, at the port on which the worker listens."""
    found = [sd for job in read(PROMETHEUS)["scrape_configs"] for sd in job.get("dns_sd_configs", [])]
    assert {name for sd in found for name in sd["names"]} == {"worker"} <= services.keys()
    assert {sd["port"] for sd in found} == {settings.http.port}
    assert str(settings.http.port) in str(services["worker"]["ports"])


def test_the_worker_reaches_kafka_inside_compose(services: dict[str, Any], settings: Settings) -> None:
    """Its bootstrap address is what the broker advertises to the other services, and it listens on that port."""
    environment = services["kafka"]["environment"]
    advertised = dict(item.split("://") for item in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert settings.kafka.bootstrap == advertised["INSIDE"]
    port = settings.kafka.bootstrap.rpartition(":")[2]
    assert f"INSIDE://:{port}" in environment["KAFKA_LISTENERS"].split(",")
    assert settings.kafka.bootstrap.startswith("kafka:")


def test_topics_are_made_before_the_worker_starts(services: dict[str, Any], settings: Settings) -> None:
    """The worker waits for `topics create`, which waits for a healthy broker; one broker can hold what it makes."""
    assert services["worker"]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert services["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert services["topics"]["command"][:2] == ["topics", "create"]
    assert {spec.replication_factor for spec in topic_specs(settings)} == {1}


def test_services_use_one_settings_file(services: dict[str, Any]) -> None:
    """The file that the commands name is the one that is mounted, and what is mounted exists."""
    for name in ("topics", "worker"):
        assert services[name]["command"][-2:] == ["--config", "/etc/tagstream/tagstream.yaml"]
    for service in services.values():
        for source, *_ in (volume.split(":") for volume in service.get("volumes", [])):
            assert not source.startswith(".") or (COMPOSE / source).is_file(), source


def test_a_stop_is_given_time_to_drain(services: dict[str, Any], settings: Settings) -> None:
    """Compose kills only after the worker's own deadline has passed."""
    assert int(services["worker"]["stop_grace_period"].rstrip("s")) > settings.delivery.drain_timeout_s


def test_compose_builds_a_target_that_exists(services: dict[str, Any]) -> None:
    """Target and build arguments are those of the Dockerfile."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    build = services["worker"]["build"]
    assert build["target"] in re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE)
    assert build["args"].keys() <= set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))


def test_the_image_runs_without_rights() -> None:
    """The last stages run as a user with a number, as Kubernetes checks it, and say how to ask whether they live."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile, re.MULTILINE)
    assert "/healthz/live" in dockerfile


def test_the_base_image_can_be_chosen() -> None:
    """PYTHON_IMAGE is the first instruction, so that every stage can begin from it."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if not line.startswith("#")).startswith("ARG PYTHON_IMAGE=")


def test_the_image_has_the_torch_of_the_constraints() -> None:
    """The default of TORCH is the pinned version, in the Dockerfile, compose and Makefile alike."""
    pinned = re.search(r"^torch==\S+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned
    for path in (ROOT / "Dockerfile", COMPOSE / "compose.yaml", ROOT / "Makefile"):
        assert pinned[0] in path.read_text(encoding="utf-8"), path
