"""A Celery app with nothing in it: the peer of `startup.py`."""

import os

from celery import Celery

celery_app = Celery("empty", broker=os.environ["REDIS_URL"])
