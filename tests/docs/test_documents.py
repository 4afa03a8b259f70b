"""The documents name what there is: jobs, flags, variables, commands, files."""

import re

import pytest

from packages.catalogue.jobs import JOBS, JobDefinition
from packages.shared_settings.layers import BOOTSTRAP_VARIABLES, ROOT
from packages.shared_settings.loading import KNOWN_VARIABLES

# Read by the installers.
OF_OTHERS = {"PIP_INDEX_URL"}
README = (ROOT / "README.md").read_text(encoding="utf-8")
JOBS_DOCUMENT = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_each_job_is_documented(job: JobDefinition) -> None:
    assert f"| `{job.name}` | `{job.flag.upper()}` |" in README
    assert job.name in JOBS_DOCUMENT


@pytest.mark.parametrize("document", ["README.md", "docs/jobs.md", "docs/adaptive.md"])
def test_only_variables_that_exist_are_named(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", text))
    assert named - KNOWN_VARIABLES - set(BOOTSTRAP_VARIABLES) - OF_OTHERS == set()
    assert len(named) > 10


@pytest.mark.parametrize(
    "document", sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
)
def test_links_lead_somewhere(document: object) -> None:
    path = ROOT / str(document)
    targets = re.findall(r"\]\((?!http)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_no_package_registry_is_named_anywhere() -> None:
    hosts = re.compile("py" + r"pi\.(org|python\.org)|python" + r"hosted\.org|registry\." + "npmjs")
    files = [
        path for folder in ("requirements", "docs", "env") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    files += [ROOT / name for name in ("README.md", "pyproject.toml", "Makefile", "CHANGELOG.md")]
    assert [str(path) for path in files if hosts.search(path.read_text(encoding="utf-8"))] == []
