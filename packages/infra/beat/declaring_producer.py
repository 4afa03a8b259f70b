"""kombu's producer, which finds out at less cost that a queue or an exchange has been declared already."""

from typing import Any

from kombu import Producer


class DeclaringProducer(Producer):
    """Declares what kombu would, when kombu would.

    kombu binds a copy of the queue and of its exchange to the channel before it looks whether they were declared: a
    tenth of what a message costs.
    """

    def maybe_declare(self, entity: Any, retry: bool = False, **retry_policy: Any) -> Any:  # noqa: ANN401, FBT001, FBT002  # kombu's own signature
        """See kombu."""
        if entity and not retry and entity.can_cache_declaration:
            channel: Any = self.channel
            # As kombu remembers them.
            if channel.connection is not None and hash(entity) in channel.connection.client.declared_entities:
                return False
        return super().maybe_declare(entity, retry=retry, **retry_policy)
