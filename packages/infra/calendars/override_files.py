"""Which files of overrides there are, and what tells their text from any other. It knows nothing of what they say."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from packages.infra.calendars.errors import OverrideError

SHIPPED: Final = Path(__file__).with_name("overrides.toml")


def overrides_digest(files: Sequence[Path] = ()) -> str:
    """What tells the text of the shipped overrides and of `files` from any other, without reading what it says.

    Raises:
        OverrideError: a file cannot be read.
    """
    texts = blake2b(digest_size=8)
    for file in (SHIPPED, *files):
        try:
            text = file.read_bytes()
        except OSError as error:
            raise OverrideError(file, "the file", f"cannot be read: {error.strerror}") from error
        texts.update(len(text).to_bytes(8, "little") + text)
    return texts.hexdigest()
