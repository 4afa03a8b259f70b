"""Small JSON files that hold a secret: mode 0600 from their first byte, replaced as a whole.

A reader sees the old content or the new one, never half of either. Nothing here knows what is inside.
"""

import json
import os
import secrets
from pathlib import Path

_OWNER_ONLY = 0o600


def write_private_text(path: Path, text: str) -> None:
    """Replace the file at `path`; only its owner can read it. Its directory must exist."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_private_json(path: Path, content: dict[str, object]) -> None:
    """As `write_private_text`, for a JSON object."""
    write_private_text(path, json.dumps(content, indent=2) + "\n")


def read_private_json(path: Path) -> dict[str, object] | None:
    """The object in the file; None when there is no file, or no JSON object in it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) else None
