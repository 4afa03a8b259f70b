"""The last decisions of each job in the broker's Redis: a list for each job, the newest first."""

import logging
from collections.abc import Sequence
from typing import Final

from redis.exceptions import RedisError, ResponseError

from packages.infra.beat.decision_sink import KEPT_PER_JOB
from packages.infra.beat.state_store import StoreAwayError
from packages.infra.beat.stored_values import ForeignValueError, decision_of, decision_text
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.decision import Decision

log = logging.getLogger(__name__)

# The list of a job that decides nothing any more goes away by itself.
_KEPT_FOR_S: Final = 90 * 86_400


class RedisDecisions:
    """See `DecisionSink`; one round trip for each call."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._client = redis.client
        self._redis = redis

    def record(self, decisions: Sequence[Decision]) -> None:
        """See `DecisionSink`."""
        by_job: dict[str, list[str]] = {}
        for decision in decisions:
            by_job.setdefault(decision.job, []).append(decision_text(decision))
        if not by_job:
            return
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for job, texts in by_job.items():
                    key = self._key(job)
                    pipeline.lpush(key, *texts[-KEPT_PER_JOB:])
                    pipeline.ltrim(key, 0, KEPT_PER_JOB - 1)
                    pipeline.expire(key, _KEPT_FOR_S)
                answers = pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            raise StoreAwayError(str(error)) from error
        for job, answer in zip(by_job, answers[::3], strict=True):
            if isinstance(answer, ResponseError):
                self._set_aside(job, answer)

    def read(self, job: str) -> list[Decision]:
        """See `DecisionSink`; what another version has written is left out, with a warning."""
        key = self._key(job)
        try:
            texts = self._client.lrange(key, 0, KEPT_PER_JOB - 1)
        except ResponseError as error:
            self._set_aside(job, error)
            return []
        except (RedisError, OSError) as error:
            raise StoreAwayError(str(error)) from error
        decisions: list[Decision] = []
        for text in texts:
            try:
                decisions.append(decision_of(text))
            except ForeignValueError as error:
                log.warning("stored_value_left_out", extra={"key": key, "error": str(error)})
        return decisions

    def _key(self, job: str) -> str:
        return self._redis.key(f"beat:decisions:{job}")

    def _set_aside(self, job: str, error: ResponseError) -> None:
        """A key of another kind stands where the list belongs."""
        key = self._key(job)
        log.warning("stored_value_quarantined", extra={"key": key, "error": str(error)})
        try:
            self._client.rename(key, f"{key}:foreign")
        except (RedisError, OSError):
            # What the server refuses for another reason, such as want of memory, is no fault of the key.
            log.warning("stored_value_stays", extra={"key": key})
