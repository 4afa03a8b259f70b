"""One call of the script that publishes: what goes into it, in the order that commit.lua reads, and what comes back."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from packages.infra.beat.messages.message import Push
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.script_wire import Argument, Script

COMMIT: Final = Script("packages.infra.beat.publishers", "commit.lua")
# A script has an end to its arguments, and holds up everybody else on the server: this many take a millisecond or two.
MOST_FIRES: Final = 200
# Of messages; a server that is sent too much at once closes the connection. One message goes out, however long it is.
MOST_CHARACTERS: Final = 4_000_000

_NEW: Final = ord("n")
_CLAIMED: Final = ord("c")


class ClaimSet(NamedTuple):
    """The key of a set of claims, and for how long after the last one it is kept, in milliseconds."""

    key: str
    kept_ms: int


class CommitKeys:
    """The names of the keys that every call has."""

    def __init__(self, redis: BrokerRedis) -> None:
        named = ("beat:lease", "beat:state", "ledger", "running:runs", "beat:counters", "beat:anchors", "beat:claims")
        self.names: Final = tuple(redis.key(name) for name in named)
        self._claims = redis.key("beat:claims")

    def claims(self, shelf: str) -> str:
        """The key of a set of claims."""
        return f"{self._claims}:{shelf}"


class _Group:
    """Fires whose claims stand in one set and whose messages go to one list."""

    __slots__ = ("claim_set", "claims", "fires", "key", "messages", "records", "states")

    def __init__(self, claim_set: ClaimSet, key: str) -> None:
        self.claim_set = claim_set
        self.key = key
        self.fires: list[int] = []
        self.claims: list[Argument] = []
        self.messages: list[Argument] = []
        self.records: list[Argument] = []
        self.states: list[Argument] = []


class CommitCall:
    """Collects what one call is to do. Fires are known by numbers of the caller's."""

    def __init__(self) -> None:
        self._groups: dict[tuple[ClaimSet, str], _Group] = {}
        # The one that was added to last: most fires go where the one before went.
        self._last: _Group | None = None
        self._single_fires: list[int] = []
        self._singles: list[tuple[ClaimSet, list[Argument], Sequence[Push]]] = []
        self._claims: set[bytes] = set()
        self._sets: dict[ClaimSet, int] = {}
        self._routes: dict[str, int] = {}
        self._state_numbers: dict[str, int] = {}
        self._states: list[Argument] = []
        self.decisions: list[Argument] = []
        self.forgotten: list[Argument] = []
        self._characters = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more belongs into it."""
        return len(self._claims) >= MOST_FIRES or self._characters > MOST_CHARACTERS

    def __len__(self) -> int:
        return len(self._claims)

    @property
    def jobs(self) -> Iterable[str]:
        """The jobs whose states it keeps."""
        return self._state_numbers

    @property
    def states(self) -> int:
        """How many states it keeps."""
        return len(self._state_numbers)

    def has(self, claim: bytes) -> bool:
        """Whether a fire of this claim is in it."""
        return claim in self._claims

    def state(self, job: str, text: str) -> int:
        """Keep a state; its number. A fire that is given the number keeps it from being kept if it fails."""
        self._states += (job, text)
        number = self._state_numbers[job] = len(self._state_numbers) + 1
        return number

    def fire(  # noqa: PLR0913, PLR0917  # all that one fire consists of; called for each one, so by position
        self, number: int, claim_set: ClaimSet, claim: bytes, pushes: Sequence[Push], record: str, state: int
    ) -> None:
        """Publish a fire. `state` is the number of its job's state, 0 for none."""
        route = pushes[0].route if len(pushes) == 1 else None
        if route is None or route.is_fanout or route.expires:
            self.fire_with_run(number, claim_set, claim, pushes, record, state)
            return
        group = self._last
        if group is None or group.claim_set is not claim_set or group.key != route.key:
            group = self._last = self._group(claim_set, route.key)
        self._claims.add(claim)
        group.fires.append(number)
        group.claims.append(claim)
        payload = pushes[0].payload
        self._characters += len(payload)
        group.messages.append(payload)
        group.records.append(record)
        group.states.append(state)

    def _group(self, claim_set: ClaimSet, key: str) -> "_Group":
        group = self._groups.get((claim_set, key))
        if group is None:
            group = self._groups[claim_set, key] = _Group(claim_set, key)
            self._sets.setdefault(claim_set, len(self._sets))
            self._routes.setdefault(key, len(self._routes))
        return group

    def fire_with_run(  # noqa: PLR0913, PLR0917  # as above
        self,
        number: int,
        claim_set: ClaimSet,
        claim: bytes,
        pushes: Sequence[Push],
        record: str,
        state: int,
        run: tuple[str, str] = ("", ""),
    ) -> None:
        """As `fire`; the fire counts as a run (task id and text) from then on."""
        self._claims.add(claim)
        self._sets.setdefault(claim_set, len(self._sets))
        for push in pushes:
            self._characters += len(push.payload)
            self._routes.setdefault(push.route.key, len(self._routes))
            for key, _ in push.route.expires:
                self._routes.setdefault(key, len(self._routes))
        self._single_fires.append(number)
        self._singles.append((claim_set, [claim, record, state, *run], pushes))

    def keys(self, keys: CommitKeys) -> list[str]:
        """KEYS of the script."""
        return [*keys.names, *(claim_set.key for claim_set in self._sets), *self._routes]

    def arguments(self, first: Sequence[Argument]) -> list[Argument]:
        """ARGV of the script; `first` are the first five."""
        sets_from, routes_from = 8, 8 + len(self._sets)
        counts = (
            len(self._sets),
            len(self._groups),
            len(self._singles),
            len(self.decisions),
            len(self._state_numbers),
            len(self.forgotten),
        )
        arguments: list[Argument] = [*first, *counts, *(claim_set.kept_ms for claim_set in self._sets)]
        for (claim_set, key), group in self._groups.items():
            arguments += (sets_from + self._sets[claim_set], routes_from + self._routes[key], len(group.fires))
            arguments += group.claims
            arguments += group.messages
            arguments += group.records
            arguments += group.states
        for claim_set, single, pushes in self._singles:
            arguments += (sets_from + self._sets[claim_set], *single, len(pushes))
            for route, payload in pushes:
                arguments += (routes_from + self._routes[route.key], int(route.is_fanout), payload, len(route.expires))
                for key, ms in route.expires:
                    arguments += (routes_from + self._routes[key], ms)
        arguments += self.decisions
        arguments += self._states
        arguments += self.forgotten
        return arguments

    def parts(self) -> list[list[int]]:
        """The numbers of the fires, apart by where their messages go."""
        return [*(group.fires for group in self._groups.values()), *([number] for number in self._single_fires)]

    def in_order(self) -> list[int]:
        """The numbers of the fires, in the order of the letters of the answer."""
        return [*(number for group in self._groups.values() for number in group.fires), *self._single_fires]


def is_new(letter: int) -> bool:
    """Whether a letter of the answer says that the fire was published by this call."""
    return letter == _NEW


def is_claimed(letter: int) -> bool:
    """Whether it says that the fire was published before."""
    return letter == _CLAIMED
