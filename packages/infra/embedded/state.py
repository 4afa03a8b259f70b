"""What is known of one server between commands.

The state file stands while a server is meant to run: it names the process, so that a dead server can
be told from a stopped one. The kept file stands beside the data for as long as the data does: the
passwords and the port, so that clients find the server again after a restart. Both have mode 0600.
"""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from packages.infra.embedded.private_files import read_private_json, write_private_json
from packages.infra.embedded.process import ProcessRef

ServerName = Literal["valkey", "postgres", "mail"]
SERVER_NAMES: tuple[ServerName, ...] = ("valkey", "postgres", "mail")
# What everybody needs; the mail sink is for those who have no mail server.
DATA_SERVERS: tuple[ServerName, ...] = ("valkey", "postgres")


@dataclass(frozen=True)
class ServerState:
    """A server that is meant to run. `url` carries its password and stays out of the repr."""

    name: ServerName
    process: ProcessRef
    port: int
    since: datetime
    data_dir: Path
    url: str = field(repr=False)


@dataclass(frozen=True)
class Kept:
    """What a server keeps for as long as its data. `admin_password` is PostgreSQL's superuser's."""

    port: int | None
    password: str = field(repr=False)
    admin_password: str = field(repr=False)


def state_directory(var_dir: Path) -> Path:
    """Where the state files, the locks and the pin of a var directory stand."""
    return var_dir / "services"


def read_state(directory: Path, name: ServerName) -> ServerState | None:
    """What the state file says; None when there is none, or when it cannot be understood."""
    content = read_private_json(_state_file(directory, name))
    if content is None:
        return None
    try:
        return ServerState(
            name=name,
            process=ProcessRef(pid=int(str(content["pid"])), birth=str(content["birth"])),
            port=int(str(content["port"])),
            since=datetime.fromisoformat(str(content["since"])).astimezone(UTC),
            data_dir=Path(str(content["data_dir"])),
            url=str(content["url"]),
        )
    except (KeyError, ValueError):
        return None


def write_state(directory: Path, state: ServerState) -> None:
    """Publish where a server runs."""
    content: dict[str, object] = {
        "pid": state.process.pid,
        "birth": state.process.birth,
        "port": state.port,
        "since": state.since.isoformat(),
        "data_dir": str(state.data_dir),
        "url": state.url,
    }
    write_private_json(_state_file(directory, state.name), content)


def remove_state(directory: Path, name: ServerName) -> None:
    """Say that the server is not meant to run."""
    _state_file(directory, name).unlink(missing_ok=True)


def load_kept(home: Path) -> Kept:
    """The passwords and the port of the data in `home`; new passwords at the first call."""
    content = read_private_json(home / "kept.json")
    if content is not None and isinstance(content.get("password"), str):
        port = content.get("port")
        return Kept(
            port=port if isinstance(port, int) else None,
            password=str(content["password"]),
            admin_password=str(content["admin_password"]),
        )
    kept = Kept(port=None, password=secrets.token_urlsafe(24), admin_password=secrets.token_urlsafe(24))
    store_kept(home, kept)
    return kept


def store_kept(home: Path, kept: Kept) -> None:
    """Write the passwords and the port beside the data."""
    content: dict[str, object] = {
        "port": kept.port,
        "password": kept.password,
        "admin_password": kept.admin_password,
    }
    write_private_json(home / "kept.json", content)


def _state_file(directory: Path, name: ServerName) -> Path:
    return directory / f"{name}.json"
