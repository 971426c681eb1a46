"""Blue-green releases by the script: what a release keeps, and what Helm renders of it, from one build to the next."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
HELM = REPOSITORY / "build" / "tools" / "helm-4" / "helm"

pytestmark = [
    pytest.mark.skipif(
        not HELM.is_file(), reason="Helm is not here: `uv run python tools/deploy_tools.py` brings it"
    ),
    pytest.mark.skipif(not shutil.which("jq"), reason="the script needs it: apt-get install jq"),
]

# A cluster's part of Helm: keeps what was set and answers for it; what is rendered of it is rendered by Helm itself.
KEEPER = """#!{python}
import json, pathlib, subprocess, sys
kept = pathlib.Path({kept!r})
words = sys.argv[3:]
if words[0] == "list":
    print(json.dumps([{{"app_version": "0.1.0"}}] if kept.exists() else []))
elif words[0] == "get":
    print(kept.read_text())
elif words[0] == "upgrade":
    values = json.loads(kept.read_text()) if kept.exists() else {{}}
    for option, word in zip(words, words[1:]):
        if option in ("--set", "--set-string"):
            path, _, value = word.partition("=")
            *folders, name = path.split(".")
            place = values
            for folder in folders:
                place = place.setdefault(folder, {{}})
            place[name] = value
    kept.write_text(json.dumps(values))
    kept.with_name("waited").write_text(words[words.index("--timeout") + 1])
    rendered = [{helm!r}, "template", words[2], words[3], "-f", {minimal!r}, "-f", str(kept)]
    sys.exit(subprocess.run(rendered, stdout=open({objects!r}, "w")).returncode)
"""


class Release:
    """A release that `deploy/blue-green.sh` works on."""

    def __init__(self, folder: Path) -> None:
        self._kept, self._objects = folder / "kept.json", folder / "objects.yaml"
        program = folder / "helm"
        program.write_text(
            KEEPER.format(
                python=sys.executable,
                helm=str(HELM),
                kept=str(self._kept),
                objects=str(self._objects),
                minimal=str(REPOSITORY / "helm" / "platform" / "ci" / "minimal-values.yaml"),
            )
        )
        program.chmod(0o755)
        self._environment = {"PATH": f"{folder}:{os.defpath}", "IMAGE": "ghcr.io/Some/Body"}

    def keeps(self, values: dict[str, Any]) -> None:
        """Be there already, with these values."""
        self._kept.write_text(json.dumps(values))

    def waited(self) -> str:
        """Return how long Helm was told to wait at the most."""
        return self._kept.with_name("waited").read_text()

    def run(self, *words: str, script: str = "blue-green.sh", **variables: str) -> tuple[int, str]:
        """Return the code and all that was said."""
        command = [str(REPOSITORY / "deploy" / script), *words]
        environment = self._environment | variables
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def does(self, *words: str, **more: str) -> None:
        """Run it; it has to succeed."""
        code, said = self.run(*words, **more)
        assert code == 0, said

    def images(self) -> dict[str, str]:
        """Return the tag of each Deployment's and Job's container, by component and colour."""
        found = {}
        for thing in yaml.safe_load_all(self._objects.read_text()):
            if thing and thing["kind"] in ("Deployment", "Job"):
                template = thing["spec"]["template"]
                labels = template["metadata"]["labels"]
                parts = (labels["app.kubernetes.io/component"], labels.get("platform-core/track"))
                name, _, tag = template["spec"]["containers"][0]["image"].rpartition(":")
                assert name == "ghcr.io/some/body"
                found["-".join(part for part in parts if part)] = tag
        return found


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path)


def test_each_stage_migrates_with_the_build_that_it_stages(release: Release) -> None:
    release.keeps({"release": {"strategy": "blueGreen", "blueGreen": {"active": "blue", "blue": "1.4.0"}}})
    release.does("stage", "1.5.0")
    assert release.images()["migrate"] == "1.5.0"
    release.does("switch")
    assert release.images()["migrate"] == "1.5.0"
    release.does("switch")
    assert release.images()["scheduler"] == "1.4.0"
    assert release.images()["migrate"] == "1.5.0", "the older build does not migrate the newer one's tables"
    release.does("stage", "1.6.0")
    assert release.images()["migrate"] == "1.6.0"
    assert (release.images()["api-blue"], release.images()["api-green"]) == ("1.4.0", "1.6.0")


def test_the_first_build_of_all_has_clients_at_once(release: Release) -> None:
    release.does("stage", "1.5.0")
    assert release.images().keys() == {"api-blue", "worker-blue", "scheduler", "migrate", "seed"}
    release.does("switch", "1.5.0")
    code, said = release.run("switch")
    assert (code, "no build" in said) == (1, True), said


def test_helm_waits_as_long_as_the_deployer_says(release: Release) -> None:
    """Red when the scripts give up after 15 minutes, however long `migrations.waitSeconds` lets pods wait."""
    release.does("stage", "1.5.0")
    assert release.waited() == "15m"
    for script, words in (("blue-green.sh", ["stage", "1.6.0"]), ("roll.sh", [])):
        release.does(*words, script=script, TIMEOUT="80m", TAG="1.6.0", VALUES="a file")
        assert release.waited() == "80m", script


def test_a_release_that_rolled_keeps_its_build_as_the_active_colour(release: Release) -> None:
    release.keeps({"image": {"tag": "1.4.0"}, "release": {"strategy": "rolling"}})
    code, said = release.run("switch")
    assert (code, "no colours yet" in said) == (1, True), said
    release.does("stage", "1.5.0")
    assert (release.images()["api-blue"], release.images()["api-green"]) == ("1.4.0", "1.5.0")


def test_contract_revisions_are_run_once_and_only_without_the_build_before(release: Release) -> None:
    release.does("stage", "1.4.0")
    release.does("stage", "1.5.0")
    release.does("switch", "1.5.0")
    code, said = release.run("contract")
    assert (code, "blue still runs 1.4.0" in said) == (1, True), said
    release.does("retire")
    release.does("contract")
    assert release.images()["contract"] == "1.5.0"
    release.does("stage", "1.6.0")
    assert "contract" not in release.images()
    release.does("switch", "1.6.0")
    assert "contract" not in release.images()
