"""What one run of a deployment can come to. Decides nothing."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum


class RunOutcome(StrEnum):
    """The outcomes by name; `decides_bar` tells which of them settle the bar for good."""

    TRADED = "traded"
    NO_TRADE = "no_trade"
    ASKED_FOR_APPROVAL = "asked_for_approval"
    APPROVAL_PENDING = "approval_pending"
    TOO_FEW_BARS = "too_few_bars"
    STRATEGY_FAILED = "strategy_failed"
    ALREADY_DONE = "already_done"
    NOT_RUNNING = "not_running"
    BAR_MISSING = "bar_missing"

    @property
    def decides_bar(self) -> bool:
        """Whether `last_bar_at` moves to the bar, so that no later run decides on it again."""
        return self not in {RunOutcome.ALREADY_DONE, RunOutcome.NOT_RUNNING, RunOutcome.BAR_MISSING}

    @property
    def needs_attention(self) -> bool:
        """Whether a person should look: nothing mends it by itself."""
        return self in {RunOutcome.STRATEGY_FAILED, RunOutcome.BAR_MISSING}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResult:
    """The outcome for one bar with its reason; `order_id` when an order was written."""

    deployment_id: int
    bar_opened_at: dt.datetime
    outcome: RunOutcome
    reason: str
    order_id: int | None = None
