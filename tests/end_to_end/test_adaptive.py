"""Real beats and a real worker: an overload is throttled, a killed beat changes nothing about that, and it recovers."""

from pathlib import Path

import pytest

from benchmarks.adaptive_real.processes import resize
from benchmarks.adaptive_real.watch import Platform, platform
from packages.infra.ledger.redis_ledger import RedisLedger
from packages.scheduling.decision import THROTTLED_BY, Reason

# One process has work for one and a third; four have for a third each.
SCENARIO = """
title = "More than one process can do"
length = "10m"

[queues]
maintenance = { delay_objective = "5s" }

[workers.worker_io]
queues = ["maintenance"]
processes = 1

[jobs.backup]
count = 2
task = "backup"
queue = "maintenance"
criticality = "critical"
every = "2s"
spread = true
service = { constant = "100ms" }

[jobs.export]
count = 8
task = "export"
queue = "maintenance"
criticality = "sheddable"
every = "2s"
spread = true
service = { constant = "300ms" }

[control]
interval_ms = 500

[control.backlog]
target_ms = 1_000
standing_ms = 3_000
again_ms = 1_000
drained_ms = 5_000
increase = 20_000
"""


@pytest.mark.chaos
def test_an_overload_is_throttled_by_whoever_leads_and_recovers(tmp_path: Path) -> None:
    file = tmp_path / "overload.toml"
    file.write_text(SCENARIO)
    with platform(file) as real:
        real.start_workers()
        begins = real.start_beat("first")
        real.processes.start_beat("second", begins)
        real.wait_for(lambda: len(real.replicas().living) == 2, "second beat")
        real.wait_for(lambda: _since(real) is not None, "throttled queue")
        real.processes.kill("first")
        stored = real.controllers()
        real.wait_for(lambda: real.controllers().stepped_at != stored.stepped_at, "control interval of the second beat")
        assert _since(real) == stored.queues["maintenance"].since
        resize(real.app, "worker_io", 3)
        real.wait_for(lambda: not real.controllers().throttles, "recovery")
        decisions = RedisLedger(real.redis).read(None, 100_000)
    throttled = {decision.job.partition(".")[0] for decision in decisions if decision.reason in THROTTLED_BY}
    assert throttled == {"export"}
    assert all(decision.job.startswith("export") for decision in decisions if decision.reason is Reason.COALESCED)


def _since(real: Platform) -> int | None:
    """From when on the queue has been throttled."""
    control = real.controllers().queues.get("maintenance")
    return control.since if control is not None and control.rates else None
