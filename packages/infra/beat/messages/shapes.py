"""What is known of each task with its options: a template, or that Celery has to build each of its messages.

Where bound queues decide where messages go, or Celery's message could not be cut, Celery is asked anew once a minute.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.entries.entry import options_and_kwargs
from packages.infra.beat.messages.argument_texts import ArgumentTexts
from packages.infra.beat.messages.counted_times import CountedTimes, PastExpiryError
from packages.infra.beat.messages.full_path import Asked, built_by_celery
from packages.infra.beat.messages.instant_texts import InstantTexts
from packages.infra.beat.messages.message import Message
from packages.infra.beat.messages.plain import are_plain_options, counted_times_of, is_plain_task
from packages.infra.beat.messages.recent import Recent
from packages.infra.beat.messages.template import Template, cut
from packages.scheduling.instants import MINUTE_MS, NEVER_ENDS

_ASKED_ANEW_AFTER_MS: Final = MINUTE_MS
_LEAST: Final = 5_000


@dataclass(frozen=True, slots=True)
class Shape:
    """A task by its name, as it is registered (None if it is not), with options, up to the instant `until`.

    `options` are a copy, None for none. Without a template Celery builds the messages. `is_told_by_equality`: options
    that are equal have the same shape, which those with a 1 and with a True may not.
    """

    name: str
    task: Any
    options: Any
    template: Template | None
    until: int
    is_told_by_equality: bool = False


class Shapes:
    """The shapes that were used of late."""

    def __init__(self, host: CeleryHost, texts: InstantTexts) -> None:
        self._host = host
        self._texts = texts
        self._known: Recent[tuple[str, str], Shape] = Recent(_LEAST)
        # The one that was asked for last, if equal options are the same ones.
        self._last: Shape | None = None

    def clear(self) -> None:
        """Know nothing."""
        self._known.clear()
        self._last = None

    def known(self, name: str, task: Any, options: Any, published_at: int) -> Shape | None:  # noqa: ANN401  # a task, or None
        """The shape of a task with these options, if it is known and holds at this instant."""
        last = self._last
        if last is not None and last.name == name and last.options == options and last.task is task:
            shape: Shape | None = last
        else:
            shape = self._known.get(_key(name, options))
        if shape is None or published_at >= shape.until or shape.task is not task:
            return None
        self._last = shape if shape.is_told_by_equality else None
        return shape

    def learnt(self, name: str, task: Any, asked: Asked, arguments: ArgumentTexts) -> Shape | Message:  # noqa: ANN401  # as above
        """The shape of an entry whose arguments are plain; its message, if that was made to learn that it has none.

        Raises:
            Exception: Celery cannot build the message.
        """
        options, _ = options_and_kwargs(asked.entry)
        message: Message | None = None
        template: Template | None = None
        times = self._times(task, options)
        if times is not None:
            message = built_by_celery(self._host, asked)
            template = self._cut(message, asked, arguments, times)
        asks_anew = times is not None and (template is None or template.may_move)
        shape = Shape(
            name,
            task,
            deepcopy(options) if template is not None else None,
            template,
            asked.published_at + _ASKED_ANEW_AFTER_MS if asks_anew else NEVER_ENDS,
            is_told_by_equality=template is not None and _are_told_by_equality(options),
        )
        self._known.put(_key(name, options), shape)
        return shape if message is None or template is not None else message

    def _times(self, task: Any, options: Any) -> CountedTimes | None:  # noqa: ANN401  # as above
        """What is counted from now; None if the messages are not plain."""
        if not is_plain_task(task) or not are_plain_options(options):
            return None
        return counted_times_of(options or {}, task, self._host.app.timezone)

    def _cut(self, message: Message, asked: Asked, arguments: ArgumentTexts, times: CountedTimes) -> Template | None:
        own_id = (options_and_kwargs(asked.entry)[0] or {}).get("task_id") or None
        try:
            return cut(message, asked, arguments, times=times, own_id=own_id, texts=self._texts)
        except PastExpiryError:
            return None


def _key(name: str, options: Any) -> tuple[str, str]:  # noqa: ANN401  # whatever an entry has
    """What tells plain options apart, with their types; those of others are not looked into."""
    return name, repr(options)


def _are_told_by_equality(options: Any) -> bool:  # noqa: ANN401  # plain options
    return not options or all(
        type(value) is str or (name in {"countdown", "expires"} and type(value) in {int, float})
        for name, value in options.items()
    )
