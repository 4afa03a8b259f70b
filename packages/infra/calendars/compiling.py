"""Starts the process that compiles calendars, and reads its report. pandas is loaded there, never here."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from packages.infra.calendars.errors import OverrideError, UnknownMarketError

# A market takes a tenth of a second, the slowest one; all there are take ten.
LONGEST_COMPILE_S: Final = 120.0
_REFUSALS: Final = frozenset({UnknownMarketError.__name__, OverrideError.__name__})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a market has no new file. A refusal stays one until the settings change; the rest may be tried again."""

    problem: str
    is_refusal: bool


class CompileProcess:
    """One run of the compiler for some markets."""

    def __init__(self, markets: Collection[str], directory: Path, overrides: Sequence[Path]) -> None:
        self.markets = tuple(sorted(markets))
        arguments = ["--directory", str(directory.absolute())]
        for file in overrides:
            arguments += ["--overrides", str(file.absolute())]
        module = "packages.infra.calendars.compile"
        # Files and not pipes: nobody reads while it runs.
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # it outlives this method
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module, *arguments, "--", *self.markets],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.DEVNULL,
        )

    @property
    def has_ended(self) -> bool:
        """Whether the report is there; never waits."""
        return self._process.poll() is not None

    def wait(self, timeout_s: float) -> None:
        """Wait for the end; a process that is not done by then is ended."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()

    def stop(self) -> None:
        """End the process, whatever it does. Files that it has not finished do not appear."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def failures(self) -> dict[str, Failure]:
        """By market, why it has no new file; asked once, after the end."""
        with self._output as output:
            output.seek(0)
            text = output.read()
        try:
            report = json.loads(text)
            return {
                market: Failure(entry["problem"], entry["kind"] in _REFUSALS)
                for market in self.markets
                if (entry := report[market]) is not None
            }
        except (ValueError, KeyError, TypeError):
            code = self._process.returncode
            problem = f"the compiling process ended with {code}"
            return {market: Failure(problem, is_refusal=False) for market in self.markets}
