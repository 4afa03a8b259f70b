"""What the jobs do: plain functions over a database session and ports. No Celery in here."""
