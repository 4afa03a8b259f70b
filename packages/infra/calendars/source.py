"""The versions of what a calendar is made from. Another version means another calendar."""

from importlib.metadata import PackageNotFoundError, version


def source_version() -> str:
    """The versions of the calendar package and of the zones, read without importing either."""
    try:
        zones = version("tzdata")
    except PackageNotFoundError:
        zones = "system"
    return f"exchange-calendars {version('exchange-calendars')}, tzdata {zones}"
