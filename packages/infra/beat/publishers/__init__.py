"""The ways to publish a commit: by one script on a Redis-compatible broker, by Celery itself on any other."""
