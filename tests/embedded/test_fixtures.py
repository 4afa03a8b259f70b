"""The fixtures that every other test stands on."""

import redis
import sqlalchemy as sa


def test_redis_is_empty_for_each_test(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_redis_is_empty_again(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_a_database_is_empty(database_url: str) -> None:
    engine = sa.create_engine(database_url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_an_engine_has_every_table(engine: sa.Engine) -> None:
    from packages.domain.tables import metadata

    assert set(sa.inspect(engine).get_table_names()) == set(metadata.tables)
