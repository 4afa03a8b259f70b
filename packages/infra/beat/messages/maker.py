"""Makes the message of a fire: by a template where that gives what Celery would, else by Celery itself.

    template    nobody but Celery has a say in the message (see `plain`): Celery builds one for each task and options,
                and it is cut and joined for all others
    full path   everything else: overridden methods, connected receivers, routers, lazy arguments, other serializers

An edit of an entry in place is seen (unless what is there now is equal, as True is to 1), and so is a receiver that is
connected later; what is configured is looked at once a second. Sends nothing but what somebody's own code sends.
"""

from copy import deepcopy
from typing import Any, Final, NamedTuple

from celery import signals
from celery.beat import ScheduleEntry

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.entries.entry import options_and_kwargs
from packages.infra.beat.messages.argument_texts import ArgumentTexts, Limits, argument_texts
from packages.infra.beat.messages.counted_times import PastExpiryError
from packages.infra.beat.messages.full_path import SENT_AFTER, Asked, built_by_celery
from packages.infra.beat.messages.instant_texts import InstantTexts
from packages.infra.beat.messages.message import Message, Pieces, Push
from packages.infra.beat.messages.plain import PLAIN_ENTRIES, check_arguments, conditions_of, limits_of
from packages.infra.beat.messages.recent import Recent
from packages.infra.beat.messages.shapes import Shape, Shapes
from packages.infra.beat.messages.template import Template, fire_text
from packages.scheduling.decision import SCHEDULE, Decision, Reason, Verdict
from packages.scheduling.instants import SECOND_MS
from packages.scheduling.plan import Fire

_LOOKS_EVERY_MS: Final = SECOND_MS
# About 700 bytes each.
_LEAST_JOBS: Final = 125_000
# Makes a named tuple at half the cost.
_new: Final = tuple.__new__
_BEFORE: Final = signals.before_task_publish
_AFTER, _SENT = SENT_AFTER


class _Job(NamedTuple):
    """The beginning of the messages of one job, and copies of the arguments that it was made of."""

    shape: Shape
    template: Template
    is_in_pieces: bool
    head: str
    args: Any
    kwargs: Any


class _Plain(NamedTuple):
    """An entry that a template may stand in for. `shape` is None until Celery has built a message of its kind."""

    task_name: str
    task: Any
    arguments: ArgumentTexts
    shape: Shape | None


class Messages:
    """See `packages.infra.beat.messages.message.MessageMaker`. For one thread.

    It remembers the jobs that it was asked for last: at least so many, and at most twice as many.
    """

    def __init__(self, host: CeleryHost, *, least_jobs: int = _LEAST_JOBS) -> None:
        self._host = host
        self._texts = InstantTexts()
        self._shapes = Shapes(host, self._texts)
        self._jobs: Recent[str, _Job] = Recent(least_jobs)
        # Fires come in their order, and many in a row are of the same instants.
        self._nominal, self._planned, self._origin, self._fire_text = -1, -1, "", ""
        # None: Celery builds all messages. They hold for what is published from `_looked_at` until `_looks_at`.
        self._conditions: tuple[object, ...] | None = None
        self._looked_at = self._looks_at = 0
        self._limits = Limits(0, 0, 0)
        self._tasks: dict[str, Any] = {}

    def make(self, fire: Fire, entry: ScheduleEntry, *, term: int, published_at: int, task_id: str) -> Message | Pieces:
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
        if job.is_in_pieces:
            return _new(Pieces, (template.route, job.head, self._fire_text, template.frame))
        payload = template.payload(job.head, self._fire_text, task_id)
        routes = (template.route, *template.other_routes)
        return Message(template.own_id or task_id, tuple([Push(route, payload) for route in routes]))

    def prepare(self, name: str, entry: ScheduleEntry, *, now: int) -> None:
        """See `MessageMaker`. Nobody's own code is called: where it has a say there is no template to prepare."""
        if _BEFORE.receivers or _AFTER.receivers or _SENT.receivers or self._jobs.get(name) is not None:
            return
        if not self._looked_at <= now < self._looks_at:
            self._look(now)
        plain = self._plain(entry, now)
        if plain is None:
            return
        if plain.shape is None:
            # Out of a message that is not sent.
            decision = Decision(name, now, now, SCHEDULE, now, Verdict.FIRE, Reason.ON_TIME)
            self._shapes.learnt(plain.task_name, plain.task, Asked(decision, entry, 0, now), plain.arguments)
        elif (job := _job_of(name, entry, plain.shape, plain.arguments)) is not None:
            self._jobs.put(name, job)

    def forget(self, name: str) -> None:
        """See `MessageMaker`."""
        self._jobs.drop(name)

    def _fits(self, job: _Job, entry: ScheduleEntry, published_at: int) -> bool:
        """Whether nothing changed since, be it by an edit in place."""
        shape = job.shape
        options, kwargs = options_and_kwargs(entry)
        return (
            published_at < shape.until
            and entry.task == shape.name
            and options == shape.options
            and entry.args == job.args
            and kwargs == job.kwargs
            and type(entry) in PLAIN_ENTRIES
            and self._tasks.get(shape.name) is shape.task
        )

    def _job(self, decision: Decision, entry: ScheduleEntry, term: int, published_at: int) -> _Job | Message:
        """What the messages of an entry have in common; the message itself, if it is Celery's to make."""
        asked = Asked(decision, entry, term, published_at)
        plain = self._plain(entry, published_at)
        if plain is None:
            return built_by_celery(self._host, asked)
        shape = plain.shape
        if shape is None:
            found = self._shapes.learnt(plain.task_name, plain.task, asked, plain.arguments)
            if isinstance(found, Message):
                return found
            shape = found
        job = _job_of(decision.job, entry, shape, plain.arguments)
        if job is None:
            return built_by_celery(self._host, asked)
        if shape is plain.shape:
            # Else it may be the only job of its shape, and many of these would keep many shapes.
            self._jobs.put(decision.job, job)
        return job

    def _plain(self, entry: ScheduleEntry, at: int) -> _Plain | None:
        """What is known of an entry at this instant; None if Celery has to build all of its messages."""
        name = entry.task
        if self._conditions is None or type(entry) not in PLAIN_ENTRIES or name is None:
            return None
        options, kwargs = options_and_kwargs(entry)
        arguments = argument_texts(entry.args, kwargs, self._limits)
        if arguments is None:
            return None
        task = self._tasks.get(name)
        return _new(_Plain, (name, task, arguments, self._shapes.known(name, task, options, at)))

    def _look(self, published_at: int) -> None:
        """See whether what all templates hang on is as it was."""
        conditions = conditions_of(self._host)
        is_set_back = published_at < self._looked_at - _LOOKS_EVERY_MS
        if conditions is None or conditions != self._conditions or is_set_back:
            self._jobs.clear()
            self._shapes.clear()
        self._conditions = conditions
        self._limits = limits_of(self._host.app)
        self._tasks = self._host.app.tasks
        self._looked_at, self._looks_at = published_at, published_at + _LOOKS_EVERY_MS


def _job_of(name: str, entry: ScheduleEntry, shape: Shape, arguments: ArgumentTexts) -> _Job | None:
    """The beginning of a job's messages; None if Celery has to build them.

    Raises:
        TypeError: its task does not take its arguments.
    """
    template, args, (_, kwargs) = shape.template, entry.args, options_and_kwargs(entry)
    if template is None:
        return None
    if shape.task is not None:
        check_arguments(shape.task, args, kwargs)
    head = template.job_text(name, arguments)
    return _new(_Job, (shape, template, template.is_for_one_list, head, _copied(args), _copied(kwargs)))


def _copied(value: Any) -> Any:  # noqa: ANN401  # plain arguments
    """A copy that no edit in place reaches."""
    try:
        hash(value)
    except TypeError:
        return deepcopy(value)
    return value
