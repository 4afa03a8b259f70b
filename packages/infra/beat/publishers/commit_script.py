"""One call of the script that publishes: what goes into it, in the order that commit.lua reads, and what comes back."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from packages.infra.beat.messages.message import Pieces, Push
from packages.infra.queue.broker_redis import BrokerRedis
from packages.infra.queue.script_wire import Argument, Script

COMMIT: Final = Script("packages.infra.beat.publishers", "commit.lua")
# A script has an end to its arguments, and holds up everybody else on the server: this many take a millisecond or two.
MOST_FIRES: Final = 200
# Of messages: a server works on so many for about three milliseconds. One message goes out, however long it is.
MOST_CHARACTERS: Final = 2_000_000

T = TypeVar("T")

# In the order of the script.
_FIXED_KEYS: Final = (
    "beat:lease",
    "beat:state",
    "ledger",
    "running:runs",
    "beat:counters",
    "beat:anchors",
    "beat:claims",
    "beat:controllers",
)
# The number of the first key behind them.
_FIRST_KEY: Final = len(_FIXED_KEYS) + 1

_NEW: Final = ord("n")
_CLAIMED: Final = ord("c")


class ClaimSet(NamedTuple):
    """The key of a set of claims, and for how long after the last one it is kept, in milliseconds."""

    key: str
    kept_ms: int


class CommitKeys:
    """The names of the keys that every call has."""

    def __init__(self, redis: BrokerRedis) -> None:
        self.names: Final = tuple(redis.key(name) for name in _FIXED_KEYS)
        self._claims = redis.key("beat:claims")

    def claims(self, shelf: str) -> str:
        """The key of a set of claims."""
        return f"{self._claims}:{shelf}"


class _Group:
    """Fires that are alike but for their job: the same set of claims, list, instants, decision, and state after it."""

    __slots__ = ("characters", "claim_set", "fire", "fires", "frame", "items", "key", "record", "state")

    def __init__(self, claim_set: ClaimSet, pieces: Pieces, record: str, state: str) -> None:
        self.claim_set = claim_set
        self.key = pieces.route.key
        self.frame = pieces.frame
        self.fire = pieces.fire
        self.record = record
        self.state = state
        # Of each message, beside its head and its id.
        self.characters = len(pieces.fire) + sum(map(len, pieces.frame))
        self.fires: list[int] = []
        # Of each fire its claim, its id, the head of its message, and its job.
        self.items: list[Argument] = []


class _Single(NamedTuple):
    """A fire for itself, its messages in one piece."""

    number: int
    claim_set: ClaimSet
    claim: bytes
    job: str
    record: str
    state: str
    run: tuple[str, str]
    pushes: Sequence[Push]


class CommitCall:
    """Collects what one call is to do. Fires are known by numbers of the caller's; a state of '' is none.

    `claims` has those of its fires. `decisions` takes a job and a record in turn, `states` a job and a text,
    `forgotten` jobs.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[object, ...], _Group] = {}
        # The one that was added to last: most fires are like the one before.
        self._last: _Group | None = None
        self._singles: list[_Single] = []
        self.claims: set[bytes] = set()
        self._characters = 0
        self.decisions: list[Argument] = []
        self.states: list[Argument] = []
        self.forgotten: list[Argument] = []

    @property
    def is_full(self) -> bool:
        """Whether nothing more belongs into it."""
        return len(self.claims) >= MOST_FIRES or self._characters > MOST_CHARACTERS

    def __len__(self) -> int:
        return len(self.claims)

    @property
    def jobs(self) -> list[str]:
        """The jobs whose states it keeps."""
        found = [name for group in self._groups.values() if group.state for name in group.items[3::4]]
        found += [single.job for single in self._singles if single.state]
        return [*found, *self.states[::2]]  # type: ignore[list-item]  # each of them is a name

    def fire(  # noqa: PLR0913, PLR0917  # all that one fire consists of; called for each one, so by position
        self,
        number: int,
        claim_set: ClaimSet,
        claim: bytes,
        task_id: str,
        job: str,
        pieces: Pieces,
        record: str,
        state: str,
    ) -> None:
        """Publish a fire whose message is in pieces."""
        group = self._last
        if (
            group is None
            # Only messages of one template have one frame, and so one list.
            or group.frame is not pieces.frame
            or group.fire != pieces.fire
            or group.record != record
            or group.state != state
            or group.claim_set is not claim_set
        ):
            group = self._last = self._group(claim_set, pieces, record, state)
        head = pieces.head
        self.claims.add(claim)
        group.fires.append(number)
        group.items += (claim, task_id, head, job)
        self._characters += len(head) + group.characters

    def _group(self, claim_set: ClaimSet, pieces: Pieces, record: str, state: str) -> _Group:
        key = (claim_set.key, pieces.route.key, pieces.frame, pieces.fire, record, state)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(claim_set, pieces, record, state)
        return group

    def single(  # noqa: PLR0913, PLR0917  # as above
        self,
        number: int,
        claim_set: ClaimSet,
        claim: bytes,
        job: str,
        pushes: Sequence[Push],
        record: str,
        state: str,
        run: tuple[str, str] = ("", ""),
    ) -> None:
        """Publish a fire whose messages are whole. `run`: it counts as one (task id and text) from then on."""
        self.claims.add(claim)
        self._singles.append(_Single(number, claim_set, claim, job, record, state, run, pushes))
        for push in pushes:
            self._characters += len(push.payload)

    def lay_out(self, keys: CommitKeys, first: Sequence[Argument]) -> tuple[list[str], list[Argument]]:
        """KEYS and ARGV of the script; `first` are the first six arguments."""
        groups, singles = self._groups.values(), self._singles
        sets = _numbered(
            [*(group.claim_set for group in groups), *(single.claim_set for single in singles)], _FIRST_KEY
        )
        routes = _numbered(
            [*(group.key for group in groups), *(key for single in singles for key in _keys_of(single.pushes))],
            _FIRST_KEY + len(sets),
        )
        frames = _numbered([group.frame for group in groups], 0)
        arguments: list[Argument] = [
            *first,
            len(sets),
            len(frames),
            len(groups),
            len(singles),
            len(self.decisions) // 2,
            len(self.states) // 2,
            len(self.forgotten),
            *(claim_set.kept_ms for claim_set in sets),
            *(part for frame in frames for part in frame),
        ]
        for group in groups:
            arguments += (sets[group.claim_set], routes[group.key], frames[group.frame])
            arguments += (group.fire, group.record, group.state, len(group.fires))
            arguments += group.items
        for _, claim_set, claim, job, record, state, run, pushes in singles:
            arguments += (sets[claim_set], claim, job, record, state, *run, len(pushes))
            for route, payload in pushes:
                arguments += (routes[route.key], int(route.is_fanout), payload, len(route.expires))
                for key, ms in route.expires:
                    arguments += (routes[key], ms)
        arguments += self.decisions
        arguments += self.states
        arguments += self.forgotten
        return [*keys.names, *(claim_set.key for claim_set in sets), *routes], arguments

    def parts(self) -> list[list[int]]:
        """The numbers of the fires, apart by where their messages go."""
        by_key: dict[str, list[int]] = {}
        for group in self._groups.values():
            by_key.setdefault(group.key, []).extend(group.fires)
        return [*by_key.values(), *([single.number] for single in self._singles)]

    def in_order(self) -> list[int]:
        """The numbers of the fires, in the order of the letters of the answer."""
        numbers = [number for group in self._groups.values() for number in group.fires]
        return [*numbers, *(single.number for single in self._singles)]


def _keys_of(pushes: Sequence[Push]) -> Iterator[str]:
    for route, _ in pushes:
        yield route.key
        for key, _ in route.expires:
            yield key


def _numbered(items: Iterable[T], first: int) -> dict[T, int]:
    """Each item once, in their order, with a number."""
    return {item: number for number, item in enumerate(dict.fromkeys(items), first)}


def is_new(letter: int) -> bool:
    """Whether a letter of the answer says that the fire was published by this call."""
    return letter == _NEW


def is_claimed(letter: int) -> bool:
    """Whether it says that the fire was published before."""
    return letter == _CLAIMED
