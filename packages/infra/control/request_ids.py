"""Names of an operator's requests: short, unique, and in the order in which they were made.

The alphabet is Crockford's base 32, in small letters: no letter in it looks like a digit.
"""

import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_INSTANT_LETTERS = 9
_RANDOM_LETTERS = 4


def new_request_id(now: int) -> str:
    """An id for a request made at the instant `now`; two of one millisecond meet once in a million."""
    return request_id(now, secrets.randbits(5 * _RANDOM_LETTERS))


def request_id(now: int, luck: int) -> str:
    """The id of 13 letters of the instant `now` and a number of 20 bits."""
    return _letters(now, _INSTANT_LETTERS) + _letters(luck, _RANDOM_LETTERS)


def _letters(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(count)))
