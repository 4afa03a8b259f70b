"""Under which name an app keeps what it keeps in the broker, so that two apps on one server do not mix."""

from celery import Celery

SETTING = "beat_state_namespace"
# As Celery calls itself when an app has no name.
UNNAMED = "celery"


def namespace_of(app: Celery) -> str:
    """The setting `beat_state_namespace`, else the name of the app."""
    return str(app.conf.get(SETTING) or app.main or UNNAMED)
