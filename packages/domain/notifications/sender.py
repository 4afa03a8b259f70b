"""The port through which messages go out, and how it may fail. Knows no channel and no queue.

SendError(channel)
├── TransientSendError   worth another try, also when it is the settings that must be mended first
└── PermanentSendError   another try cannot help: not an address, nothing to say
"""

from typing import Protocol


class SendError(Exception):
    """A message was not taken. The text names no secret: it is stored and shown."""

    def __init__(self, message: str, *, channel: str) -> None:
        super().__init__(message)
        self.channel = channel


class TransientSendError(SendError):
    """The channel did not take the message now; a later try may succeed."""


class PermanentSendError(SendError):
    """No try of this message can succeed."""


class Sender(Protocol):
    """What takes a message to its recipient."""

    def send(self, *, channel: str, recipient: str | None, subject: str, body: str, idempotency_key: str) -> None:
        """Send one message. The same key may come twice; it travels with the message, so a receiver can drop it.

        Raises:
            TransientSendError: not taken now.
            PermanentSendError: never will be.
        """
        ...
