"""The declarative base that every area's tables share: column types, constraint names, UTC everywhere.

Nothing about one table stands here; each area owns its tables in its `models.py`.
"""

import datetime as dt
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import BigInteger, DateTime, MetaData, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

# Named constraints let a migration drop or alter them on every server alike.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Maps `datetime` to `timestamptz`, `Decimal` to `numeric(24, 8)`, `dict` to `jsonb`, `int` to `bigint`."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dt.datetime: DateTime(timezone=True),
        Decimal: Numeric(24, 8),
        dict[str, Any]: JSONB,
        int: BigInteger,
        str: Text,
    }
