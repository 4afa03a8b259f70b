"""Real servers for the tests: one pair for each test process, started when a test first asks for one."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy as sa
from hypothesis import settings

from packages.infra.embedded.services import EmbeddedServices

# The same examples each time: a run depends on the code alone. `--hypothesis-profile default` draws others.
settings.register_profile("same_examples", derandomize=True, database=None)
settings.load_profile("same_examples")


@pytest.fixture(scope="session")
def services() -> Iterator[EmbeddedServices]:
    directory = Path(tempfile.mkdtemp(prefix="minsy-test-"))
    # As root, PostgreSQL's account has to pass through; what needs hiding below hides itself.
    directory.chmod(0o755)
    services = EmbeddedServices(directory / "var", durable=False)
    yield services
    services.delete_data()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def valkey_server(services: EmbeddedServices) -> Iterator[str]:
    """The URL of a Redis-compatible server; use `redis_url` unless what is in it does not matter."""
    with services.hold(want={"valkey"}) as endpoints:
        assert endpoints.redis_url is not None
        yield endpoints.redis_url


@pytest.fixture(scope="session")
def postgres_server(services: EmbeddedServices) -> Iterator[str]:
    """The URL of a PostgreSQL server as the role `minsy`; use `database_url` or `engine` for a database."""
    with services.hold(want={"postgres"}) as endpoints:
        assert endpoints.database_url is not None
        yield endpoints.database_url


@pytest.fixture
def redis_url(valkey_server: str) -> str:
    """A Redis URL with nothing in any of its databases."""
    with redis.Redis.from_url(valkey_server) as client:
        client.flushall()
    return valkey_server


@pytest.fixture
def database_url(postgres_server: str) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database of this test alone."""
    with _database(postgres_server, template="template1") as url:
        yield url


@pytest.fixture(scope="session")
def template_database(postgres_server: str) -> Iterator[str]:
    """The name of a database with every table and no row."""
    from packages.domain.tables import metadata

    with _database(postgres_server, template="template1") as url:
        engine = sa.create_engine(url)
        metadata.create_all(engine)
        engine.dispose()
        yield str(sa.make_url(url).database)


@pytest.fixture
def engine(postgres_server: str, template_database: str) -> Iterator[sa.Engine]:
    """An engine on a database of this test alone, with every table and no row."""
    with _database(postgres_server, template=template_database) as url:
        engine = sa.create_engine(url)
        yield engine
        engine.dispose()


@contextmanager
def _database(server_url: str, *, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    admin_url = sa.make_url(server_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
