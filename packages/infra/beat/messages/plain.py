"""Which entries a template may stand in for: those of which nobody but Celery itself has a say in their messages.

What may differ from one message to the next by somebody's code is looked for; where it is not known, nothing is plain.
Makes no message.
"""

from datetime import datetime, tzinfo
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from celery import Celery, Task
from celery.app.amqp import AMQP
from celery.app.routes import MapRoute, Router
from celery.beat import ScheduleEntry, Scheduler
from kombu import Producer

from packages.infra.beat.celery_host import CeleryHost
from packages.infra.beat.entries.entry import BeatEntry
from packages.infra.beat.messages.argument_texts import Limits, is_plain
from packages.infra.beat.messages.counted_times import CountedTimes

PLAIN_ENTRIES: Final = frozenset({ScheduleEntry, BeatEntry})

_NONE: Final = type(None)
_SECONDS: Final = frozenset({int, float, _NONE})
_TEXT: Final = frozenset({str, _NONE})
_OPTIONS: Final = {
    "compression": _TEXT,
    "countdown": _SECONDS,
    "delivery_mode": frozenset({int, str, _NONE}),
    "eta": frozenset({str, datetime, _NONE}),
    "exchange": _TEXT,
    "exchange_type": _TEXT,
    "expires": frozenset({int, float, str, datetime, _NONE}),
    "headers": frozenset({dict, _NONE}),
    "ignore_result": frozenset({bool, _NONE}),
    "priority": frozenset({int, _NONE}),
    "queue": _TEXT,
    "retry": frozenset({bool, _NONE}),
    "retry_policy": frozenset({dict, _NONE}),
    "routing_key": _TEXT,
    "serializer": _TEXT,
    "shadow": _TEXT,
    "soft_time_limit": _SECONDS,
    "task_id": _TEXT,
    "time_limit": _SECONDS,
}
# An entry may put its own value in the place of Celery's.
_CELERYS_HEADERS: Final = frozenset(
    {
        "argsrepr",
        "compression",
        "eta",
        "expires",
        "group",
        "group_index",
        "id",
        "ignore_result",
        "kwargsrepr",
        "lang",
        "origin",
        "parent_id",
        "replaced_task_nesting",
        "retries",
        "root_id",
        "shadow",
        "stamped_headers",
        "stamps",
        "task",
        "timelimit",
    }
)
# Those that do not ask for anything of the message: a subscription to the result is beat's to leave out.
_QUIET_BACKENDS: Final = frozenset({"celery.backends.base", "celery.backends.redis"})


def conditions_of(host: CeleryHost) -> tuple[object, ...] | None:
    """What all templates of a scheduler hang on, to be compared; None if it, or its app, is not plain.

    Receivers of signals are not looked at.
    """
    app: Any = host.app
    amqp: Any = app.amqp
    if not _is_plain_scheduler(host) or not _is_plain_app(app):
        return None
    conf = app.conf
    if conf.task_always_eager or conf.task_send_sent_event:
        return None
    routes = list(amqp.router.routes)
    if type(amqp.router) is not Router or any(type(route) is not MapRoute for route in routes):
        return None
    return (amqp, amqp.router, routes, len(app.tasks), app.timezone, limits_of(app), amqp.send_task_message)


def limits_of(app: Celery) -> Limits:
    """The limits of the texts for people."""
    amqp: Any = app.amqp
    return Limits(amqp.argsrepr_maxsize, amqp.kwargsrepr_maxsize, app.conf.task_repr_maxlevels)


def is_plain_task(task: Any) -> bool:  # noqa: ANN401  # a task, or None for one that is not registered here
    """Whether a registered task is published as Celery does it."""
    if task is None:
        return True
    return (
        _is(task.apply_async, Task.apply_async)
        and _is(task._get_exec_options, Task._get_exec_options)  # type: ignore[attr-defined]  # noqa: SLF001  # celery-types lacks it
        and _is(task.shadow_name, Task.shadow_name)
        and not getattr(task, "__v2_compat__", False)
        and getattr(task, "_dump_pydantic_arguments", None) is None
    )


def are_plain_options(options: Any) -> bool:  # noqa: ANN401  # whatever an entry has
    """Whether an entry's options are known here, and the same for each message."""
    if options is None:
        return True
    if type(options) is not dict:
        return False
    for name, value in options.items():
        if type(value) not in _OPTIONS.get(name, ()):
            return False
    headers = options.get("headers") or {}
    task_id = options.get("task_id")
    return (
        is_plain(headers)
        and not headers.keys() & _CELERYS_HEADERS
        and is_plain(options.get("retry_policy"))
        and (not task_id or quoted(task_id) == f'"{task_id}"')
    )


def counted_times_of(options: dict[str, Any], task: Any, zone: tzinfo) -> CountedTimes | None:  # noqa: ANN401  # as above
    """What is counted from now in the messages of these options; None if it is more than is known here."""
    expires = options["expires"] if "expires" in options else getattr(task, "expires", None)
    if type(expires) not in _OPTIONS["expires"] or (isinstance(expires, int | float) and expires < 0):
        return None
    return CountedTimes(zone, countdown=options.get("countdown"), expires=expires)


def check_arguments(task: Any, args: Any, kwargs: Any) -> None:  # noqa: ANN401  # a registered task, plain arguments
    """What `apply_async` does first.

    Raises:
        TypeError: the task does not take these arguments.
    """
    if task.typing:
        check = getattr(task, "__header__", None)
        if check is not None:
            check(*(args or ()), **(kwargs or {}))


def _is_plain_scheduler(host: CeleryHost) -> bool:
    scheduler: Any = Scheduler
    unchecked: Any = host  # celery-types lacks some of it
    return (
        _is(host.apply_entry, CeleryHost.apply_entry)
        and _is(host.apply_async, scheduler.apply_async)
        and _is(host.send_task, scheduler.send_task)
        and unchecked.Producer is Producer
        and getattr(type(host), "producer", None) is CeleryHost.producer
    )


def _is_plain_app(app: Any) -> bool:  # noqa: ANN401  # celery-types lacks much of it
    amqp = app.amqp
    return (
        _is(app.send_task, Celery.send_task)
        and type(amqp) is AMQP
        and _is(amqp.create_task_message, AMQP.as_task_v2)
        and amqp.send_task_message.__module__ == AMQP.__module__
        and type(app.backend).on_task_call.__module__ in _QUIET_BACKENDS
    )


def _is(method: Any, original: Any) -> bool:  # noqa: ANN401  # methods, or what somebody put in their place
    return getattr(method, "__func__", method) is original
