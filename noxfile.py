"""Everything that is checked, in environments of its own: ``nox``, or ``nox -s tests-3.13``.

``make test`` runs the same on one Python; here are the others, where they are installed.
"""

import nox

nox.needs_version = ">=2025.5"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "tests", "docs"]

PYTHONS = ("3.11", "3.12", "3.13")
OLDEST = PYTHONS[0]  # what runs and type-checks here runs on the others


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Style, types and floors."""
    _install(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Features, black-box tests, and pytest with its coverage."""
    _install(session)
    session.run("python", "-m", "behave", "--format", "progress", "features")
    session.run("robot", "--outputdir", "output", "--console", "dotted", "robot")
    session.run("pytest", "-n", "2", "-m", "not faults", "--cov", *session.posargs)


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """Generated pages are current, examples run, links lead somewhere."""
    _install(session)
    session.run("python", "-m", "docs.generate", "--check")
    session.run("pytest", "tests/docs")


@nox.session(python=OLDEST)
def bench(session: nox.Session) -> None:
    """Measure, and write docs/benchmarks.md."""
    _install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=OLDEST)
def faults(session: nox.Session) -> None:
    """The long fault suite."""
    _install(session)
    session.run("pytest", "-m", "faults", *session.posargs)


def _install(session: nox.Session, group: str = "dev") -> None:
    project = nox.project.load_toml("pyproject.toml")
    session.install("--editable", ".", *nox.project.dependency_groups(project, group))
