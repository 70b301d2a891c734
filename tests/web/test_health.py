"""Probes: started, alive, ready, each with one line that says why not."""

from worker.web.health import Check, Health


def test_it_starts_alive_and_not_ready() -> None:
    """Before the start is over only the liveness probe passes."""
    health = Health()
    assert health.startup() == Check(False, "starting")
    assert health.live() == Check(True, "alive")
    assert health.ready() == Check(False, "starting")


def test_ready_when_started_and_no_part_holds_it_back() -> None:
    """Each part has a reason of its own; releasing one leaves the others, releasing twice does no harm."""
    health = Health()
    health.hold("broker", "unreachable")
    health.hold("model", "loading")
    health.hold("broker", "no coordinator")
    health.set_started()
    assert health.ready() == Check(False, "broker: no coordinator; model: loading")
    health.release("model")
    health.release("model")
    assert health.ready() == Check(False, "broker: no coordinator")
    health.release("broker")
    assert health.ready() == Check(True, "ready")


def test_a_failure_is_for_good() -> None:
    """After `fail` neither alive nor ready, with the first reason; only a restart helps."""
    health = Health()
    health.set_started()
    health.fail("stage infer is stuck")
    health.fail("and another thing")
    assert health.live() == health.ready() == Check(False, "stage infer is stuck")
    assert health.startup().ok
