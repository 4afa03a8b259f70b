"""Names the backups of a database and decides which are kept. Never reads or writes what is in one.

A backup is two files: `postgres-full-DATABASE-STAMP.dump`, and the same with `.sha256` for `sha256sum -c`. Only
files of exactly this pattern, and of one database, are ever removed.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from packages.domain.maintenance.output_files import PARTIAL_SUFFIX

DIGEST_SUFFIX: Final = ".sha256"
_STAMP_FORMAT: Final = "%Y%m%dT%H%M%S.%fZ"
_STAMP_PATTERN: Final = r"\d{8}T\d{6}\.\d{6}Z"


@dataclass(frozen=True)
class BackupNames:
    """The names of the backups of one database in one directory."""

    directory: Path
    database: str

    def dump(self, made_at: datetime) -> Path:
        """The path of a backup; later instants sort later."""
        return self.directory / f"{self._prefix}{made_at.astimezone(UTC).strftime(_STAMP_FORMAT)}.dump"

    def existing(self) -> list[Path]:
        """The backups that are there, oldest first by name. Links and directories do not count."""
        return sorted(self._matching(""), key=lambda path: path.name)

    def beyond(self, retention_count: int, *, newest: Path) -> list[Path]:
        """The backups to remove so that `retention_count` stay, oldest first.

        `newest` stays whatever its stamp: a clock that went backward must not cost the backup just made.
        """
        others = [path for path in self.existing() if path != newest]
        return others[: max(0, len(others) - (retention_count - 1))]

    def leftovers(self) -> list[Path]:
        """What a killed run left: partial files, and digests without their dump. True only under the lock."""
        partial = re.compile(rf"\.{self._pattern}({re.escape(DIGEST_SUFFIX)})?{re.escape(PARTIAL_SUFFIX)}")
        orphans = (path for path in self._matching(DIGEST_SUFFIX) if not path.with_suffix("").exists())
        return [*(path for path in self.directory.iterdir() if partial.fullmatch(path.name)), *orphans]

    @property
    def _prefix(self) -> str:
        # Percent-encoding keeps any two databases apart and any name of one inside the directory.
        return f"postgres-full-{quote(self.database, safe='')}-"

    @property
    def _pattern(self) -> str:
        return rf"{re.escape(self._prefix)}{_STAMP_PATTERN}\.dump"

    def _matching(self, suffix: str) -> list[Path]:
        pattern = re.compile(self._pattern + re.escape(suffix))
        return [
            path
            for path in self.directory.iterdir()
            if pattern.fullmatch(path.name) and path.is_file() and not path.is_symlink()
        ]


def digest_path(dump: Path) -> Path:
    """The digest file that belongs to a dump."""
    return dump.with_name(dump.name + DIGEST_SUFFIX)


def remove_backup(dump: Path) -> None:
    """Remove a dump, then its digest: a reader never sees a dump without one."""
    dump.unlink(missing_ok=True)
    digest_path(dump).unlink(missing_ok=True)
