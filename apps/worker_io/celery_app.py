"""Entry point: sets the profile and imports the shared app; nothing else."""

import os

os.environ["MINSY_CELERY_PROFILE"] = "io"
os.environ["MINSY_SERVICE"] = "worker_io"

from packages.infra.queue.celery_app import celery_app  # the profile has to be set first

__all__ = ["celery_app"]
