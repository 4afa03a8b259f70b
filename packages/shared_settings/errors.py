"""What is wrong with the settings, as one line that a person can act on."""

from typing import NamedTuple


class SettingProblem(NamedTuple):
    """One wrong variable: its name, the layer that gave it, what is wrong and what is allowed."""

    variable: str
    source: str
    problem: str
    allowed: str

    def __str__(self) -> str:
        allowed = f" Allowed: {self.allowed}." if self.allowed else ""
        end = "" if self.problem.endswith("?") else "."
        return f"{self.variable} in {self.source}: {self.problem}{end}{allowed}"


class SettingsError(ValueError):
    """The settings cannot be used. `problems` has every wrong variable; the text has a line for each."""

    def __init__(self, *problems: SettingProblem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
