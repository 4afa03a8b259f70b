"""Several triggers as one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packages.scheduling.triggers.base import CHUNK, Trigger, TriggerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Union:
    """The instants that any of `triggers` names, each once.

    Raises:
        TriggerError: there is no trigger.
    """

    triggers: tuple[Trigger, ...]

    def __post_init__(self) -> None:
        if not self.triggers:
            raise TriggerError("a union needs at least one trigger")

    @property
    def repeats_when_set_back(self) -> bool:
        """See `Trigger`: not if one of them is to run once."""
        return all(trigger.repeats_when_set_back for trigger in self.triggers)

    def next_after(self, after: int) -> int | None:
        """See `Trigger`."""
        nominals = (trigger.next_after(after) for trigger in self.triggers)
        return min((nominal for nominal in nominals if nominal is not None), default=None)

    def between(self, start: int, end: int) -> "Iterator[npt.NDArray[np.int64]]":
        """See `Trigger`."""
        import numpy as np

        sources = [trigger.between(start, end) for trigger in self.triggers]
        heads = [next(source, None) for source in sources]
        while waiting := [head for head in heads if head is not None]:
            # Up to here nothing can come any more between what the heads hold.
            horizon = min(head[-1] for head in waiting)
            taken = []
            for index, head in enumerate(heads):
                if head is None:
                    continue
                count = int(np.searchsorted(head, horizon, side="right"))
                taken.append(head[:count])
                heads[index] = head[count:] if count < len(head) else next(sources[index], None)
            merged = np.unique(np.concatenate(taken))
            for low in range(0, len(merged), CHUNK):
                yield merged[low : low + CHUNK]

    def describe(self) -> str:
        """See `Trigger`."""
        return f"any of ({'; '.join(trigger.describe() for trigger in self.triggers)})"
