"""Decides whether a recipient may be put into a message or an address. Knows no channel's own rules."""

import re

_LONGEST = 320
# The printable local parts of RFC 5322 without quoting and without "%", which addresses of channels give a meaning.
_LOCAL = r"[A-Za-z0-9.!#$&'*+/=?^_`{|}~-]{1,64}"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"{_LOCAL}@{_LABEL}(?:\.{_LABEL})*")


def recipient_fault(recipient: str, *, is_email: bool) -> str | None:
    """Why `recipient` cannot be used, on one line and without its text; None when it can.

    A control character would end a header line and begin another; a comma would make two recipients of one.
    """
    if not recipient or len(recipient) > _LONGEST:
        return f"the recipient must have 1 to {_LONGEST} characters"
    if not recipient.isprintable():
        return "the recipient must not contain line breaks or other control characters"
    if is_email and _EMAIL.fullmatch(recipient) is None:
        return "the recipient must be one plain e-mail address such as name@example.com"
    return None
