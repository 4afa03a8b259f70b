"""Makes the message of a fire: by a template where that gives what Celery would, else by Celery itself.

    template    nobody but Celery has a say in the message (see `plain`): Celery builds one for each task and options,
                and it is cut and joined for all others
    full path   everything else: overridden methods, connected receivers, routers, lazy arguments, other serializers

An edit of an entry in place is seen, and so is a receiver that is connected later; what is configured is looked at
once a second. Sends nothing but what somebody's own code sends.
"""

from copy import deepcopy
from typing import Any, Final, NamedTuple
from uuid import uuid4

from celery import signals
from celery.beat import ScheduleEntry

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.messages.argument_texts import Limits, argument_texts
from packages.infra.beat.messages.counted_times import PastExpiryError
from packages.infra.beat.messages.full_path import SENT_AFTER, Asked, built_by_celery
from packages.infra.beat.messages.instant_texts import InstantTexts
from packages.infra.beat.messages.message import Message, Push
from packages.infra.beat.messages.plain import PLAIN_ENTRIES, check_arguments, conditions_of, limits_of
from packages.infra.beat.messages.recent import Recent
from packages.infra.beat.messages.shapes import Shape, Shapes
from packages.infra.beat.messages.template import Template, fire_text
from packages.scheduling.decision import Decision
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.plan import Fire

_LOOKS_EVERY_MS: Final = SECOND_MS
_LEAST_JOBS: Final = 20_000
# Of twelve digits, as the last part of a UUID has.
_FIRST_TAG: Final = 100_000_000_000
_NO_KWARGS: Final[dict[str, Any]] = {}
# Makes a named tuple at half the cost.
_new: Final = tuple.__new__
_BEFORE: Final = signals.before_task_publish
_AFTER, _SENT = SENT_AFTER


class _Job(NamedTuple):
    """The beginning of the messages of one job, and copies of the arguments that it was made of."""

    shape: Shape
    template: Template
    text: str
    args: Any
    kwargs: Any


class Messages:
    """See `packages.infra.beat.messages.message.MessageMaker`. For one thread."""

    def __init__(self, host: CeleryHost) -> None:
        self._host = host
        self._texts = InstantTexts()
        self._shapes = Shapes(host, self._texts)
        self._jobs: Recent[str, _Job] = Recent(_LEAST_JOBS)
        # Fires come in their order, and many in a row are of the same instants.
        self._nominal, self._planned, self._origin, self._fire_text = -1, -1, "", ""
        # None: Celery builds all messages. They hold for what is published from `_looked_at` until `_looks_at`.
        self._conditions: tuple[object, ...] | None = None
        self._looked_at = self._looks_at = 0
        self._limits = Limits(0, 0, 0)
        self._tasks: dict[str, Any] = {}
        # A tag has to be one of its kind in the broker for as long as its message is there.
        self._tags = str(uuid4())[:24]
        self._tag = _FIRST_TAG

    def make(self, fire: Fire, entry: ScheduleEntry, *, term: int, published_at: int, task_id: str) -> Message:
        """See `MessageMaker`."""
        decision = fire.decision
        name, nominal, planned, origin = decision.job, decision.nominal, decision.planned, decision.origin
        if _BEFORE.receivers or _AFTER.receivers or _SENT.receivers:
            return built_by_celery(self._host, Asked(decision, entry, term, published_at))
        if not self._looked_at <= published_at < self._looks_at:
            self._look(published_at)
        job = self._jobs.get(name)
        if job is None or not self._fits(job, entry, published_at):
            made = self._job(decision, entry, term, published_at)
            if isinstance(made, Message):
                return made
            job = made
        template = job.template
        if template.published_at != published_at or template.term != term:
            try:
                template.begin_batch(published_at, term, self._texts)
            except PastExpiryError:
                return built_by_celery(self._host, Asked(decision, entry, term, published_at))
        if nominal != self._nominal or planned != self._planned or origin != self._origin:
            self._fire_text = fire_text(self._texts(nominal), self._texts(planned), origin)
            self._nominal, self._planned, self._origin = nominal, planned, origin
        task_id = template.own_id or task_id
        self._tag = tag = self._tag + 1
        payload = template.payload(job.text, self._fire_text, task_id, f"{self._tags}{tag}")
        if template.other_routes:
            return Message(task_id, tuple([Push(route, payload) for route in (template.route, *template.other_routes)]))
        return _new(Message, (task_id, (_new(Push, (template.route, payload)),), None))

    def forget(self, name: str) -> None:
        """See `MessageMaker`."""
        self._jobs.drop(name)

    def _fits(self, job: _Job, entry: ScheduleEntry, published_at: int) -> bool:
        """Whether nothing changed since, be it by an edit in place."""
        shape = job.shape
        return (
            published_at < shape.until
            and entry.task == shape.name
            and entry.options == shape.options
            and entry.args == job.args
            and entry.kwargs == job.kwargs
            and type(entry) in PLAIN_ENTRIES
            and self._tasks.get(shape.name) is shape.task
        )

    def _job(self, decision: Decision, entry: ScheduleEntry, term: int, published_at: int) -> _Job | Message:
        """What the messages of an entry have in common; the message itself, if it is Celery's to make."""
        args, kwargs, name = entry.args, entry.kwargs, entry.task
        arguments = None
        if self._conditions is not None and type(entry) in PLAIN_ENTRIES:
            arguments = argument_texts(args, kwargs, self._limits)
        if arguments is None or name is None:
            return built_by_celery(self._host, Asked(decision, entry, term, published_at))
        task = self._tasks.get(name)
        shape = self._shapes.known(name, task, entry.options, published_at)
        is_known = shape is not None
        if shape is None:
            found = self._shapes.learnt(name, task, Asked(decision, entry, term, published_at), arguments)
            if isinstance(found, Message):
                return found
            shape = found
        if shape.template is None:
            return built_by_celery(self._host, Asked(decision, entry, term, published_at))
        if task is not None:
            check_arguments(task, args, kwargs)
        text = shape.template.job_text(decision.job, arguments)
        job = _new(_Job, (shape, shape.template, text, _copied(args), _copied(kwargs) if kwargs else _NO_KWARGS))
        if is_known:
            # Else it may be the only job of its shape, and many of these would keep many shapes.
            self._jobs.put(decision.job, job)
        return job

    def _look(self, published_at: int) -> None:
        """See whether what all templates hang on is as it was."""
        conditions = conditions_of(self._host)
        if conditions is None or conditions != self._conditions or published_at < self._looked_at:
            self._jobs.clear()
            self._shapes.clear()
        self._conditions = conditions
        self._limits = limits_of(self._host.app)
        self._tasks = self._host.app.tasks
        self._looked_at, self._looks_at = published_at, published_at + _LOOKS_EVERY_MS


def _copied(value: Any) -> Any:  # noqa: ANN401  # plain arguments
    """A copy that no edit in place reaches."""
    try:
        hash(value)
    except TypeError:
        return deepcopy(value)
    return value
