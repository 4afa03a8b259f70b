"""The operator's word within one process, for a broker that keeps nothing. Lost when the process ends."""

from collections.abc import Collection

from packages.infra.control.control import Control, Request, has_ended, in_order
from packages.scheduling.policies import GateMode
from packages.scheduling.snapshot import Pause, PauseScope


class MemoryControl:
    """A `ControlStore` in this process. Not safe for several threads."""

    def __init__(self) -> None:
        self._pauses: dict[tuple[PauseScope, str], Pause] = {}
        self._requests: dict[str, Request] = {}
        self._gate_modes: dict[str, GateMode] = {}

    def read(self, now: int) -> Control:
        """See `ControlStore`."""
        return Control(
            pauses=in_order([pause for pause in self._pauses.values() if not has_ended(pause, now)]),
            requests=tuple(self._requests[id_] for id_ in sorted(self._requests)),
            gate_modes=dict(self._gate_modes),
        )

    def pause(self, pause: Pause) -> None:
        """See `ControlStore`."""
        self._pauses[pause.scope, pause.target] = pause

    def resume(self, scope: PauseScope, target: str) -> bool:
        """See `ControlStore`."""
        return self._pauses.pop((scope, target), None) is not None

    def request(self, request: Request) -> None:
        """See `ControlStore`."""
        self._requests[request.id] = request

    def acknowledge(self, ids: Collection[str]) -> None:
        """See `ControlStore`."""
        for id_ in ids:
            self._requests.pop(id_, None)

    def set_gate_mode(self, gate: str, mode: GateMode | None) -> None:
        """See `ControlStore`."""
        if mode is None:
            self._gate_modes.pop(gate, None)
        else:
            self._gate_modes[gate] = mode
