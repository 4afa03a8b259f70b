"""A fire as the message that Celery would make of it, and nothing sent."""
