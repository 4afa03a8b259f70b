"""Which queues share workers, as one object for all of them: each of many has the names of all. Decides nothing."""

from collections.abc import Iterable, Mapping

from packages.infra.queue.worker_heartbeats import WorkerState

_Queues = frozenset[str]


class Groups:
    """Of the workers as they were taken last."""

    def __init__(self) -> None:
        self._known: dict[_Queues, _Queues] = {}
        self._before: dict[_Queues, _Queues] = {}
        self._served: dict[frozenset[_Queues], _Queues] = {}

    def take(self, workers: Mapping[str, WorkerState]) -> dict[str, WorkerState]:
        """The same workers; who serves the same has it in one object, that of the last time if it was there."""
        self._before, self._known, self._served = self._known, {}, {}
        return {node: worker._replace(queues=self._one(worker.queues)) for node, worker in workers.items()}

    def served_by(self, workers: Iterable[WorkerState]) -> frozenset[str]:
        """All queues that these serve."""
        kinds = frozenset(worker.queues for worker in workers)
        if kinds not in self._served:
            self._served[kinds] = self._one(frozenset[str]().union(*kinds))
        return self._served[kinds]

    def _one(self, queues: _Queues) -> _Queues:
        return self._known.setdefault(queues, self._before.get(queues, queues))
