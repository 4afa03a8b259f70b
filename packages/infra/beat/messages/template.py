"""A message that Celery built, cut where one fire differs from the next, and put together again for other fires.

    one for each task and options    the template: everything that Celery, kombu and the routes decided
    one for each job                 its name and its arguments
    one for each batch               the instant of publishing, the lease's term, what is counted from now
    one for each fire                its instants, its id

A template is cut only out of a message in which each of these is where, and what, it is expected to be; what is not
understood gives none. Never decides whether a template may be used: see `packages.infra.beat.messages.plain`.
"""

import json
from base64 import b64decode
from binascii import b2a_base64
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from kombu.utils.json import dumps

from packages.infra.beat.messages.argument_texts import ArgumentTexts
from packages.infra.beat.messages.counted_times import CountedTimes
from packages.infra.beat.messages.fire_ids import task_id_of
from packages.infra.beat.messages.full_path import Asked
from packages.infra.beat.messages.instant_texts import InstantTexts
from packages.infra.beat.messages.message import Message, Route

_PARTS: Final = {"body", "content-encoding", "content-type", "headers", "properties"}
# Of a job, a batch, or a fire; all others are the template's. `eta` and `expires` only if they are counted from now.
_HEADERS_OF_OTHERS: Final = frozenset(
    {
        "argsrepr",
        "beat_job",
        "beat_origin",
        "beat_published_at",
        "beat_term",
        "id",
        "kwargsrepr",
        "planned_for",
        "root_id",
        "scheduled_for",
    }
)
_PROPERTIES_OF_OTHERS: Final = frozenset({"correlation_id", "delivery_tag"})


@dataclass(slots=True)
class Template:
    """The texts that all messages of one task with the same options share.

    `embed` ends a body; `headers` and `properties` are joined with those of the batch in `frame`. `own_id` is the id
    that the options have for all messages.
    """

    route: Route
    other_routes: tuple[Route, ...]
    embed: str
    headers: str
    properties: str
    times: CountedTimes
    own_id: str | None
    published_at: int = -1
    term: int = -1
    frame: tuple[str, str, str, str, str] = ("", "", "", "", "")

    @property
    def is_for_one_list(self) -> bool:
        """Whether a message is pushed to one list and nothing else, under an id that is its own."""
        route = self.route
        return not (self.own_id or self.other_routes or route.is_fanout or route.expires)

    @property
    def may_move(self) -> bool:
        """Whether the messages may have to go elsewhere one day without anybody saying so: where queues are bound."""
        return '"exchange": ""' not in self.properties or any(
            route.is_fanout or route.expires for route in (self.route, *self.other_routes)
        )

    def begin_batch(self, published_at: int, term: int, texts: InstantTexts) -> None:
        """From now on the messages are published at this instant under this term."""
        times = self.times.at(published_at)
        expiration = f'"expiration": "{times.expiration}", ' if times.expiration is not None else ""
        counted = "".join([f"{quoted(name)}: {quoted(text)}, " for name, text in times.headers])
        at = texts(published_at)
        self.frame = (
            f'{self.headers}"beat_published_at": "{at}", "beat_term": {term}, {counted}"id": "',
            '", "root_id": "',
            f'"}}, "properties": {{{self.properties}{expiration}"correlation_id": "',
            # One of its kind in the broker for as long as the message is there, as the id of the fire is.
            '", "delivery_tag": "',
            '"}}',
        )
        self.published_at, self.term = published_at, term

    def payload(self, job: str, fire: str, task_id: str) -> str:
        """A message out of the texts of its job and its fire; nothing in `task_id`, the fire's, may need a quote."""
        id_, root_id, correlation_id, delivery_tag, end = self.frame
        own_id = self.own_id or task_id
        return f"{job}{fire}{id_}{own_id}{root_id}{own_id}{correlation_id}{own_id}{delivery_tag}{task_id}{end}"

    def job_text(self, name: str, arguments: ArgumentTexts) -> str:
        """The texts of a job: the beginning of each of its messages."""
        (args, argsrepr), (kwargs, kwargsrepr) = arguments
        body = b2a_base64(f"[{args}, {kwargs}, {self.embed}]".encode("ascii"), newline=False).decode("ascii")
        return (
            f'{{"content-encoding": "utf-8", "content-type": "application/json", "body": "{body}", '
            f'"headers": {{"argsrepr": {quoted(argsrepr)}, "kwargsrepr": {quoted(kwargsrepr)}, '
            f'"beat_job": {quoted(name)}, '
        )


def fire_text(nominal: str, planned: str, origin: str) -> str:
    """The text of a fire: its headers but for its id."""
    return f'"scheduled_for": "{nominal}", "planned_for": "{planned}", "beat_origin": {quoted(origin)}, '


def cut(  # noqa: PLR0913  # all that a message is made of
    built: Message,
    asked: Asked,
    arguments: ArgumentTexts,
    *,
    times: CountedTimes,
    own_id: str | None,
    texts: InstantTexts,
) -> Template | None:
    """The template of a message that Celery built; None if another one cannot be made like it.

    Raises:
        PastExpiryError: the message has expired already.
    """
    pushes = built.pushes
    if not pushes or built.accepted is not None or any(push.payload != pushes[0].payload for push in pushes):
        return None
    message: Any = json.loads(pushes[0].payload)
    if not _is_usual(message):
        return None
    body: Any = json.loads(b64decode(message["body"]))
    if not isinstance(body, list) or len(body) != 3:  # noqa: PLR2004  # args, kwargs and the embedded rest
        return None
    headers, properties = message["headers"], message["properties"]
    counted = _HEADERS_OF_OTHERS | times.names
    of_batch = _PROPERTIES_OF_OTHERS | ({"expiration"} if times.moves_expiration else set())
    template = Template(
        route=pushes[0].route,
        other_routes=tuple(push.route for push in pushes[1:]),
        embed=dumps(body[2]),
        headers=_members({name: value for name, value in headers.items() if name not in counted}),
        properties=_members({name: value for name, value in properties.items() if name not in of_batch}),
        times=times,
        own_id=own_id,
    )
    template.begin_batch(asked.published_at, asked.term, texts)
    decision = asked.decision
    task_id = task_id_of(decision.job, decision.nominal, decision.origin)
    made = json.loads(
        template.payload(
            template.job_text(decision.job, arguments),
            fire_text(texts(decision.nominal), texts(decision.planned), decision.origin),
            task_id,
        )
    )
    message["properties"]["delivery_tag"] = task_id
    return template if _equal(made, message, times) else None


def _is_usual(message: Any) -> bool:  # noqa: ANN401  # whatever JSON has
    return (
        isinstance(message, dict)
        and message.keys() == _PARTS
        and message["content-type"] == "application/json"
        and message["content-encoding"] == "utf-8"
        and "compression" not in message["headers"]
        and message["properties"].get("body_encoding") == "base64"
        and isinstance(message["properties"].get("delivery_tag"), str)
    )


def _members(values: dict[str, Any]) -> str:
    """The members of an object, each with a comma behind it."""
    return f"{dumps(values)[1:-1]}, " if values else ""


def _equal(made: Any, message: Any, times: CountedTimes) -> bool:  # noqa: ANN401  # as above
    """Whether two messages are equal but for what is counted from now: each was made at a now of its own."""
    for each in (made, message):
        for name in times.names:
            if not isinstance(each["headers"].pop(name, None), str):
                return False
        if times.moves_expiration and not isinstance(each["properties"].pop("expiration", None), str):
            return False
    made["body"], message["body"] = (json.loads(b64decode(each["body"])) for each in (made, message))
    return made == message  # type: ignore[no-any-return]  # both are what JSON has
