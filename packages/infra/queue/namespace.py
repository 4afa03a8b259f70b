"""Under which name an app keeps what it keeps on a server, so that two apps on one server do not mix.

    <namespace>:beat:...        lease, claims, states, anchors and what each replica says of itself
    <namespace>:ledger          every decision
    <namespace>:control:...     what an operator says
    <namespace>:running:...     which runs are not over
    <namespace>:done:...        which runs have completed
    <namespace>:work:...        how the runs ended, by time
    <namespace>:workers         which workers live, and what they serve and hold
    <namespace>:active_markets  which markets are in use
    <namespace>:last_runs       how each task last ended; where the results are

In the broker's Redis kombu's `global_keyprefix` stands before it.
"""

from typing import Final

from celery import Celery

SETTING: Final = "beat_state_namespace"
# As Celery calls itself when an app has no name.
UNNAMED: Final = "celery"


def namespace_of(app: Celery) -> str:
    """The setting `beat_state_namespace`, else the name of the app."""
    return str(app.conf.get(SETTING) or app.main or UNNAMED)
