"""Entry point: sets the profile and imports the shared app, and what `celery beat` asks for next; nothing else."""

import os

from packages.infra.beat.garbage import made_to_stay

os.environ["MINSY_CELERY_PROFILE"] = "beat"
os.environ["MINSY_SERVICE"] = "beat"
# To find out that there is none, pydantic would read what is said of every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

with made_to_stay():
    # Celery would import it a moment later, while garbage is looked for.
    import packages.infra.beat.scheduler  # noqa: F401
    from packages.infra.queue.celery_app import celery_app  # the profile has to be set first

__all__ = ["celery_app"]
