"""Celery's entries as jobs: their triggers, what changes of them, and those that only they themselves know about."""
