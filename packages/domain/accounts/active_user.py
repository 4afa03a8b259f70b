"""Finds the person who does something, by the address that the person goes by. Checks no password."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from packages.domain.accounts.models import User


class NoActiveUserError(Exception):
    """Nobody may act under `email`: there is no such user, or the user is not active (`is_known`)."""

    def __init__(self, email: str, *, is_known: bool) -> None:
        super().__init__(f"user {email} is not active" if is_known else f"there is no user {email}")
        self.email = email
        self.is_known = is_known


def active_user_id(session: Session, email: str) -> int:
    """The id of the active user with this address, in capitals or not.

    Raises:
        NoActiveUserError: there is none.
    """
    stored = email.strip().lower()
    found = session.scalars(select(User).where(User.email == stored)).one_or_none()
    if found is None or not found.is_active:
        raise NoActiveUserError(stored, is_known=found is not None)
    return found.id
