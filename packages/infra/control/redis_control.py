"""The operator's word in the broker's Redis, so that it outlives beat and reaches it at its next wake-up.

    <ns>:control:version      a new text with every change, so that a reader who saw it need not read the rest
    <ns>:control:pauses       hash: "scope:target" -> a pause
    <ns>:control:requests     hash: id -> a request
    <ns>:control:gate_modes   hash: gate -> a word on it
    <ns>:control:pins         hash: "criticality:queue" -> a pin; "*" for every criticality
    <ns>:control:exemptions   hash: job -> an exemption
    <ns>:control:quarantine   hash: "key:field" -> what stood there and was none of the above

Values are versioned JSON. One that cannot be read is moved to the quarantine with a warning, and is never fatal.
"""

import logging
import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeVar

from redis.exceptions import ResponseError

from packages.infra.control.control import Control, Lasting, as_of, has_ended, in_order, pins_in_order
from packages.infra.control.records import (
    RecordError,
    decode_exemption,
    decode_gate_mode,
    decode_pause,
    decode_pin,
    decode_request,
    encode_exemption,
    encode_gate_mode,
    encode_pause,
    encode_pin,
    encode_request,
)
from packages.infra.queue.broker_redis import BrokerRedis
from packages.scheduling.instants import DAY_MS
from packages.scheduling.model import Criticality
from packages.scheduling.policies import GateMode
from packages.scheduling.requests import Request
from packages.scheduling.snapshot import Exemption, Pause, PauseScope, Pin

log = logging.getLogger(__name__)

V = TypeVar("V")

# However sure the version makes us: what was changed by hand, or a server that lost its data, is seen after this long.
FULL_READ_AFTER_MS = 10_000
# What has ended is left where it is for so long: the clock of the reader may be wrong.
ENDED_KEPT_MS = DAY_MS

# Takes a field out of a hash if it is still what the reader saw, and puts it into another hash if one is given.
_TAKE_OUT = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  if KEYS[2] then redis.call('HSET', KEYS[2], ARGV[3], ARGV[2]) end
end
"""


class _Known(NamedTuple):
    version: bytes | None
    read_at: int
    control: Control


class RedisControl:
    """A `ControlStore` in the broker's Redis. Not safe for several threads."""

    def __init__(self, redis: BrokerRedis) -> None:
        self._client = redis.client
        self._version = redis.key("control:version")
        self._pauses = redis.key("control:pauses")
        self._requests = redis.key("control:requests")
        self._gate_modes = redis.key("control:gate_modes")
        self._pins = redis.key("control:pins")
        self._exemptions = redis.key("control:exemptions")
        self._quarantine = redis.key("control:quarantine")
        self._known: _Known | None = None

    def read(self, now: int) -> Control:
        """See `ControlStore`. One round trip; of one short value as long as nothing changed."""
        known = self._known
        is_fresh = known is not None and 0 <= now - known.read_at < FULL_READ_AFTER_MS
        if known is None or not is_fresh or self._client.get(self._version) != known.version:
            known = self._read_all(now)
        return as_of(known.control, now)

    def pause(self, pause: Pause) -> None:
        """See `ControlStore`."""
        self._change("hset", self._pauses, _field(pause.scope, pause.target), encode_pause(pause))

    def resume(self, scope: PauseScope, target: str) -> bool:
        """See `ControlStore`."""
        return bool(self._change("hdel", self._pauses, _field(scope, target)))

    def request(self, request: Request) -> None:
        """See `ControlStore`."""
        self._change("hset", self._requests, request.id, encode_request(request))

    def acknowledge(self, ids: Collection[str]) -> None:
        """See `ControlStore`."""
        if ids:
            self._change("hdel", self._requests, *ids)

    def set_gate_mode(self, gate: str, mode: GateMode | None) -> None:
        """See `ControlStore`."""
        if mode is None:
            self._change("hdel", self._gate_modes, gate)
        else:
            self._change("hset", self._gate_modes, gate, encode_gate_mode(mode))

    def pin(self, pin: Pin) -> None:
        """See `ControlStore`."""
        self._change("hset", self._pins, _pin_field(pin.queue, pin.criticality), encode_pin(pin))

    def unpin(self, queue: str, criticality: Criticality | None) -> bool:
        """See `ControlStore`."""
        return bool(self._change("hdel", self._pins, _pin_field(queue, criticality)))

    def exempt(self, exemption: Exemption) -> None:
        """See `ControlStore`."""
        self._change("hset", self._exemptions, exemption.job, encode_exemption(exemption))

    def unexempt(self, job: str) -> bool:
        """See `ControlStore`."""
        return bool(self._change("hdel", self._exemptions, job))

    def _change(self, command: str, key: str, *arguments: str) -> int:
        self._known = None
        with self._client.pipeline(transaction=True) as pipe:
            getattr(pipe, command)(key, *arguments)
            # Not a counter: after a loss of data one would come to numbers that readers have seen.
            pipe.set(self._version, secrets.token_hex(8))
            return int(pipe.execute()[0])

    def _read_all(self, now: int) -> _Known:
        with self._client.pipeline(transaction=True) as pipe:
            pipe.get(self._version)
            for key in (self._pauses, self._requests, self._gate_modes, self._pins, self._exemptions):
                pipe.hgetall(key)
            version, *answers = pipe.execute(raise_on_error=False)
        pauses = self._decoded(self._pauses, answers[0], decode_pause, lambda p: _field(p.scope, p.target))
        requests = self._decoded(self._requests, answers[1], decode_request, lambda request: request.id)
        gate_modes = self._decoded(self._gate_modes, answers[2], decode_gate_mode)
        pins = self._decoded(self._pins, answers[3], decode_pin, lambda p: _pin_field(p.queue, p.criticality))
        exemptions = self._decoded(self._exemptions, answers[4], decode_exemption, lambda exemption: exemption.job)
        if isinstance(version, Exception):
            self._set_aside(self._version, version)
            version = None
        self._drop_long_ended(self._pauses, answers[0], pauses, now)
        self._drop_long_ended(self._pins, answers[3], pins, now)
        self._drop_long_ended(self._exemptions, answers[4], exemptions, now)
        control = Control(
            pauses=in_order(pauses.values()),
            requests=tuple(requests[field] for field in sorted(requests)),
            gate_modes={field.decode(): mode for field, mode in gate_modes.items()},
            pins=pins_in_order(pins.values()),
            exemptions=tuple(exemptions[field] for field in sorted(exemptions)),
        )
        self._known = _Known(version, now, control)
        return self._known

    def _decoded(
        self,
        key: str,
        answer: Any,  # noqa: ANN401  # what the server answered
        decode: Callable[[bytes], V],
        field_of: Callable[[V], str] | None = None,
    ) -> dict[bytes, V]:
        """The values of a hash; without those that cannot be read, or stand under another field than their own."""
        if isinstance(answer, Exception):
            self._set_aside(key, answer)
            return {}
        values: dict[bytes, V] = {}
        for field, text in answer.items():
            try:
                value, name = decode(text), field.decode()
                if field_of is not None and field_of(value) != name:
                    raise RecordError("it stands under another name than its own")  # noqa: TRY301  # one place to contain
                values[field] = value
            except (RecordError, UnicodeDecodeError) as error:
                shown = field.decode(errors="replace")
                self._client.eval(_TAKE_OUT, 2, key, self._quarantine, field, text, f"{key}:{shown}")
                log.warning("control_value_quarantined", extra={"key": key, "field": shown, "problem": str(error)})
        return values

    def _set_aside(self, key: str, error: Exception) -> None:
        """Move a key away that another program made something else of."""
        if not isinstance(error, ResponseError) or "WRONGTYPE" not in str(error):
            raise error
        self._client.rename(key, f"{self._quarantine}:{key}")
        log.warning("control_value_quarantined", extra={"key": key, "field": None, "problem": str(error)})

    def _drop_long_ended(
        self,
        key: str,
        stored: Mapping[bytes, bytes],
        values: Mapping[bytes, Lasting],
        now: int,
    ) -> None:
        for field, said in values.items():
            if has_ended(said, now - ENDED_KEPT_MS):
                self._client.eval(_TAKE_OUT, 1, key, field, stored[field])


def _field(scope: PauseScope, target: str) -> str:
    return f"{scope.value}:{target}"


def _pin_field(queue: str, criticality: Criticality | None) -> str:
    return f"{'*' if criticality is None else criticality.value}:{queue}"
