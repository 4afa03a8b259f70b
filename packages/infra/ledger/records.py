"""How the ledger's records are written, ticks and decisions: JSON with the number of its version.

Nothing is decided here. What cannot be read raises `ForeignValueError`; who reads decides what then.
"""

from collections.abc import Container, Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from types import MappingProxyType
from typing import Any, Final, TypeVar

from packages.infra.beat.stored_values import VERSION, ForeignValueError, json_text, raw_of, value_text
from packages.infra.ledger.control_record import NOTHING_KNOWN, ControlRecord, control_of_plain, control_plain
from packages.infra.ledger.tick_record import TickRecord
from packages.scheduling.decision import Decision, Opinion, Reason, Verdict
from packages.scheduling.instants import NEVER_ENDS
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Pause, PauseScope, Reading, Run, Snapshot

T = TypeVar("T")
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_NUMBERS: Final = ("nominal", "planned", "at")
# Few in any stretch of time: `schedule`, and one for each request of an operator.
_origin_json: Final = lru_cache(maxsize=1_000)(encode_basestring_ascii)


def decision_text(decision: Decision) -> str:
    """A decision as text, all of it but the job: many jobs are decided alike, and the entry has the job beside it."""
    if (
        decision.opinions
        or decision.until is not None
        or decision.holds_until != NEVER_ENDS
        or decision.count != 1
        or decision.first_nominal is not None
        or decision.cancels
        or decision.arm is not None
    ):
        return value_text(decision, without="job")
    # As `value_text` writes it, which takes several times as long. Most decisions are such.
    return (
        f'{{"v":{VERSION},"nominal":{decision.nominal},'
        f'"planned":{decision.planned},"origin":{_origin_json(decision.origin)},"at":{decision.at},'
        f'"verdict":"{decision.verdict._value_}","reason":"{decision.reason._value_}"}}'
    )


def decision_of(job: str, text: str | bytes) -> Decision:
    """The decision on `job` that `decision_text` wrote.

    Raises:
        ForeignValueError: it is no such text.
    """
    try:
        raw = raw_of(text)
        raw["verdict"], raw["reason"] = Verdict(raw["verdict"]), Reason(raw["reason"])
        raw["opinions"] = tuple(_opinion(opinion) for opinion in raw.get("opinions", ()))
        raw["cancels"] = tuple(raw.get("cancels", ()))
        for name in _NUMBERS:
            _of_type(int, raw[name])
        _of_type(str, raw["origin"])
        return Decision(job=job, **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ForeignValueError(f"no decision of version {VERSION}: {error}") from error


def tick_text(  # noqa: PLR0913  # one for each part of the record
    *,
    tick: str,
    term: int,
    policies: str,
    snapshot: Snapshot,
    looked_at: Container[str],
    control: ControlRecord | str | None = None,
) -> str:
    """The record of a tick as text; see `TickRecord`.

    `looked_at`: the jobs that the tick looked at; the runs of others are left out. `control`: what the adaptive control
    knew; or the number of the tick whose record has just that; None: nothing. A reading is written with its age in ms;
    one that is absent is not written at all.
    """
    at = snapshot.taken_at
    raw: dict[str, Any] = {"v": VERSION, "tick": tick, "term": term, "at": at, "policies": policies}
    if (pauses := snapshot.pauses) is not None:
        raw["pauses"] = (
            at - pauses.taken_at,
            [(pause.scope, pause.target, pause.since, pause.until, pause.note) for pause in pauses.value],
        )
    if (active := snapshot.active_markets) is not None:
        raw["active_markets"] = at - active.taken_at, sorted(active.value)
    if (running := snapshot.running) is not None:
        raw["running"] = (
            at - running.taken_at,
            {
                job: [(run.task_id, run.published_at, run.counts_until) for run in runs]
                for job, runs in running.value.items()
                if job in looked_at
            },
        )
    if snapshot.gate_modes:
        raw["gate_modes"] = dict(snapshot.gate_modes)
    if snapshot.markets:
        raw["calendars"] = {market: table.digest for market, table in snapshot.markets.items()}
    if control is not None:
        raw["control"] = control if isinstance(control, str) else control_plain(control, at)
    return json_text(raw)


def tick_of(text: str | bytes) -> TickRecord:
    """The record that `tick_text` wrote.

    Raises:
        ForeignValueError: it is no such text.
    """
    try:
        raw = raw_of(text)
        at = _of_type(int, raw["at"])
        return TickRecord(
            tick=_of_type(str, raw["tick"]),
            term=_of_type(int, raw["term"]),
            policies=_of_type(str, raw["policies"]),
            snapshot=_snapshot(raw, at),
            calendars={market: _of_type(str, digest) for market, digest in raw.get("calendars", {}).items()},
            control_in=_control_in(raw),
        )
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise ForeignValueError(f"no record of a tick of version {VERSION}: {error}") from error


def _snapshot(raw: dict[str, Any], at: int) -> Snapshot:
    pauses, active, running = raw.get("pauses"), raw.get("active_markets"), raw.get("running")
    control = raw.get("control")
    known = control_of_plain(control, at) if isinstance(control, dict) else NOTHING_KNOWN
    snapshot = Snapshot(
        taken_at=at,
        pauses=None if pauses is None else _reading(at, pauses[0], tuple(_pause(*each) for each in pauses[1])),
        active_markets=None if active is None else _reading(at, active[0], frozenset(active[1])),
        running=None
        if running is None
        else _reading(at, running[0], {job: tuple(Run(*run) for run in runs) for job, runs in running[1].items()}),
        gate_modes={gate: GateMode(mode) for gate, mode in raw.get("gate_modes", {}).items()},
    )
    return known.put_into(snapshot)


def _control_in(raw: dict[str, Any]) -> str | None:
    """The number of the tick whose record has what the control knew; None if it knew nothing."""
    control = raw.get("control")
    if control is None:
        return None
    return _of_type(str, raw["tick"] if isinstance(control, dict) else control)


def _reading(at: int, age_ms: int, value: T) -> Reading[T]:
    return Reading(value, at - age_ms)


def _pause(scope: str, target: str, since: int, until: int | None, note: str) -> Pause:
    return Pause(PauseScope(scope), target, since, until, note)


def _of_type(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise ForeignValueError(f"{value!r} is no {kind.__name__}")
    return value


def _opinion(raw: dict[str, Any]) -> Opinion:
    given = {**raw, "verdict": Verdict(raw["verdict"]), "reason": Reason(raw["reason"])}
    if "mode" in raw:
        given["mode"] = GateMode(raw["mode"])
    given["facts"] = tuple((name, fact) for name, fact in raw.get("facts", ()))
    return Opinion(**given)
