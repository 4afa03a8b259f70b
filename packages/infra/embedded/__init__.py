"""The default Redis-compatible server and PostgreSQL, run out of two wheels on loopback."""
