"""The production defaults with which ours runs, for the report: no benchmark sets any of them."""

from packages.infra.beat.lease import PERIOD
from packages.infra.beat.publishers.commit_script import MOST_FIRES
from packages.infra.ledger.ledger import LENGTH
from packages.scheduling.claims import CLASSES_MS
from packages.scheduling.instants import SECOND_MS


def production_defaults() -> dict[str, object]:
    """By name. Claims are kept for one of these times, by the policies of the job."""
    return {
        "lease_period_s": PERIOD.total_seconds(),
        "ledger_length": LENGTH,
        "claims_kept_s": [class_ms // SECOND_MS for class_ms in CLASSES_MS],
        "fires_a_call": MOST_FIRES,
    }
