"""The chart, rendered by Helm 3 and 4 for every file of values: what Kubernetes would be told."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_core import _production
from platform_core.settings import KernelSettings, read_settings

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "helm" / "platform"
HELMS = [REPOSITORY / "build" / "tools" / name / "helm" for name in ("helm-3", "helm-4")]
CRDS = REPOSITORY / "build" / "tools" / "crds"
VALUES = sorted([*CHART.glob("ci/*-values.yaml"), *CHART.glob("values-*.yaml")])
CUSTOM = {"BackendTrafficPolicy", "Gateway", "HTTPRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
PODS = {"Deployment", "Job", "Pod"}
OWN_GATEWAY = (
    "gateway.enabled=true,gateway.hostnames={a.b},gateway.own.className=envoy,gateway.own.tlsSecret=tls"
)
LISTS = ("endpoints", "groups", "listeners", "rateLimit", "rules", "triggers")

needs_helm = pytest.mark.skipif(
    not all(helm.is_file() for helm in HELMS),
    reason="Helm is not here: `uv run python tools/deploy_tools.py` brings 3 and 4; `uv run nox -s deploy` does, too",
)

Object = dict[str, Any]


def helm(version: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HELMS[version - 3], *arguments], capture_output=True, text=True)


@functools.cache
def rendered(version: int, values: Path, *more: str) -> tuple[Object, ...]:
    """Return the objects; callers leave them as they are."""
    answer = helm(version, "template", "demo", str(CHART), "--namespace", "shop", "-f", str(values), *more)
    assert answer.returncode == 0, answer.stderr
    return tuple(document for document in yaml.safe_load_all(answer.stdout) if document)


def named(name: str) -> Path:
    return CHART / "ci" / f"{name}-values.yaml"


def of(objects: tuple[Object, ...], kind: str, name: str = "") -> Object:
    [found] = [o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(name)]
    return found


def pod(thing: Object) -> Object:
    spec: Object = thing["spec"] if thing["kind"] == "Pod" else thing["spec"]["template"]["spec"]
    return spec


@pytest.fixture(params=VALUES, ids=lambda path: path.stem.removesuffix("-values"))
def values(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@needs_helm
@pytest.mark.parametrize("version", [3, 4])
def test_every_file_of_values_passes_helms_own_check(version: int, values: Path) -> None:
    answer = helm(version, "lint", "--strict", str(CHART), "-f", str(values))
    assert answer.returncode == 0, answer.stdout


@needs_helm
def test_both_helms_say_the_same(values: Path) -> None:
    def sorted_objects(version: int) -> list[str]:
        return sorted(json.dumps(thing, sort_keys=True) for thing in rendered(version, values))

    assert sorted_objects(3) == sorted_objects(4)


@needs_helm
def test_names_are_unique_and_no_longer_than_a_label_may_be(values: Path) -> None:
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in rendered(4, values)]
    assert len(names) == len(set(names))
    assert max(len(name) for _, name in names) <= 63


@needs_helm
def test_every_pod_runs_with_as_little_as_can_be(values: Path) -> None:
    for thing in rendered(4, values):
        if thing["kind"] not in PODS:
            continue
        spec = pod(thing)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"].keys() == {"requests", "limits"}


@needs_helm
def test_every_secret_is_mounted_where_its_variable_says(values: Path) -> None:
    for thing in rendered(4, values):
        if thing["kind"] not in PODS or "volumes" not in pod(thing):
            continue
        [secrets] = [volume for volume in pod(thing)["volumes"] if volume["name"] == "secrets"]
        mounted = {
            item["path"] for source in secrets["projected"]["sources"] for item in source["secret"]["items"]
        }
        for container in pod(thing)["containers"]:
            named_files = {
                entry["value"].removeprefix("/run/platform-secrets/")
                for entry in container["env"]
                if str(entry.get("value", "")).startswith("/run/platform-secrets/")
            }
            assert named_files == mounted


@needs_helm
def test_what_is_set_is_known_to_the_kernel_and_fit_for_production(values: Path, tmp_path: Path) -> None:
    objects = rendered(4, values)
    settings, *copies = [
        o["data"] for o in objects if o["kind"] == "ConfigMap" and "PLATFORM_ENV" in o["data"]
    ]
    assert all(copy == settings for copy in copies), "that of the migrations, where they are a hook"
    known = {field.alias for field in KernelSettings.model_fields.values()}
    assert {name for name in settings if not name.startswith("OTEL_")} <= known
    key = tmp_path / "key"
    key.write_text("kZ3v9Qx7Lm2Tn8Rb5Wc1Yd6Hf4Jg0PsAuEoIi")  # pragma: allowlist secret
    source = {
        **settings,
        "DATABASE_URL": "postgresql://platform:W3vXq9Kc@db/platform",  # pragma: allowlist secret
        "REDIS_URL": "rediss://:W3vXq9Kc@redis",  # pragma: allowlist secret
        "PLATFORM_SECRET_KEY_FILE": str(key),
    }
    assert list(_production.problems(read_settings(source), source)) == []


@needs_helm
def test_selectors_find_their_pods_and_nobody_elses(values: Path) -> None:
    objects = rendered(4, values)
    labels = [o["spec"]["template"]["metadata"]["labels"] for o in objects if o["kind"] == "Deployment"]

    def found(selector: Object) -> set[str]:
        return {own["app.kubernetes.io/component"] for own in labels if selector.items() <= own.items()}

    for thing in objects:
        name = thing["metadata"]["name"]
        if thing["kind"] == "Service":
            expected = {"api", "worker", "scheduler"} if name.endswith("-internal") else {"api"}
            assert found(thing["spec"]["selector"]) == expected
        elif thing["kind"] in ("Deployment", "PodDisruptionBudget"):
            matched = found(thing["spec"]["selector"]["matchLabels"])
            assert len(matched) == 1


@needs_helm
def test_every_process_of_a_pod_is_scraped() -> None:
    """Red when only the first one's port is known: the others' requests would be in no figure."""
    objects = rendered(4, named("everything"))
    api, policy = of(objects, "Deployment", "-api-blue"), of(objects, "NetworkPolicy", "everything")
    assert pod(api)["containers"][0]["args"][-2:] == ["--workers", "2"]
    declared = {port["name"]: port["containerPort"] for port in pod(api)["containers"][0]["ports"]}
    assert declared == {"http": 8000, "internal": 9090, "internal-1": 9091}
    served = {port["targetPort"] for port in of(objects, "Service", "-internal")["spec"]["ports"]}
    watched = {endpoint["port"] for endpoint in of(objects, "ServiceMonitor")["spec"]["endpoints"]}
    let_in = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    assert served == watched == let_in - {"http"} == {"internal", "internal-1"}


@needs_helm
def test_pods_wait_for_tables_by_a_check_and_end_in_order(values: Path) -> None:
    for thing in rendered(4, values):
        if thing["kind"] != "Deployment":
            continue
        spec = pod(thing)
        assert spec["initContainers"][0]["args"][:2] == ["db", "wait"]
        assert spec["terminationGracePeriodSeconds"] > 25 + 5
        container = spec["containers"][0]
        assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "internal"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/health/live", "port": "internal"}
        assert {c["topologyKey"] for c in spec["topologySpreadConstraints"]} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }


def jobs(*more: str, values: str = "minimal") -> dict[str, Object]:
    found = [o for o in rendered(4, named(values), *more) if o["kind"] == "Job"]
    return {o["metadata"]["labels"]["app.kubernetes.io/component"]: o for o in found}


@needs_helm
def test_a_migration_is_named_by_its_image_and_revision() -> None:
    first, second = jobs()["migrate"], jobs("--set", "image.tag=2.0.0")["migrate"]
    assert first["metadata"]["name"] != second["metadata"]["name"], "a Job cannot be changed"
    assert first["metadata"]["name"].endswith("-1"), "the revision"
    assert first["metadata"].get("annotations") is None, "a hook only by choice"
    assert pod(second)["containers"][0]["image"] == "platform-core:2.0.0"


@needs_helm
def test_what_prepares_is_run_by_itself_and_what_removes_only_when_asked() -> None:
    assert pod(jobs()["migrate"])["containers"][0]["args"][:4] == ["db", "upgrade", "--phase", "expand"]
    assert "contract" not in jobs()
    asked = ("--set", "image.tag=1.5.0", "--set", "migrations.contract=1.5.0")
    contract = jobs(*asked)["contract"]
    assert pod(contract)["containers"][0]["args"][:4] == ["db", "upgrade", "--phase", "contract"]
    assert pod(contract)["initContainers"][0]["args"][:2] == ["db", "wait"]
    assert pod(jobs(values="single-node")["migrate"])["containers"][0]["args"][:3] == [
        "db",
        "upgrade",
        "--wait-seconds",
    ]


@needs_helm
def test_a_later_release_does_not_contract_because_the_one_before_did() -> None:
    kept = ("--set", "migrations.contract=1.4.0")
    assert "contract" in jobs(*kept, "--set", "release.blueGreen.green=", values="blue-green")
    assert "contract" not in jobs(*kept, values="blue-green"), "green runs another build"
    assert "contract" not in jobs(*kept, "--set", "release.blueGreen.active=green", values="blue-green")
    assert "contract" not in jobs(*kept, "--set", "image.tag=1.5.0")


@needs_helm
def test_as_a_hook_the_migration_finds_its_settings_there() -> None:
    hooked = [
        o for o in rendered(4, named("everything")) if "helm.sh/hook" in o["metadata"].get("annotations", {})
    ]
    before = {o["kind"]: o for o in hooked if o["metadata"]["annotations"]["helm.sh/hook"] != "test"}
    assert before.keys() == {"ConfigMap", "Job", "ServiceAccount"}
    job = pod(before["Job"])
    assert job["serviceAccountName"] == before["ServiceAccount"]["metadata"]["name"] == "everything-migrate"
    assert job["containers"][0]["envFrom"] == [
        {"configMapRef": {"name": before["ConfigMap"]["metadata"]["name"]}}
    ]
    names = {o["metadata"]["name"] for o in rendered(4, named("everything")) if o not in hooked}
    assert "everything" in names, "what pods use is a part of the release and never deleted for a moment"
    weights = {kind: int(o["metadata"]["annotations"]["helm.sh/hook-weight"]) for kind, o in before.items()}
    assert weights["Job"] > max(weights["ConfigMap"], weights["ServiceAccount"])


@needs_helm
def test_migrations_have_the_owners_login_and_no_other_secret() -> None:
    [secrets] = [
        v for v in pod(jobs(values="external-secrets")["migrate"])["volumes"] if v["name"] == "secrets"
    ]
    sources = [source["secret"] for source in secrets["projected"]["sources"]]
    assert sources[0] == {"name": "vault-postgresql", "items": [{"key": "owner", "path": "DATABASE_URL"}]}
    assert {source["name"] for source in sources} == {"vault-postgresql", "vault-s3"}


@needs_helm
def test_a_canary_gets_its_share_by_both_ways_in() -> None:
    objects = rendered(4, named("canary"))
    backends = of(objects, "HTTPRoute")["spec"]["rules"][0]["backendRefs"]
    assert [(b["name"], b["weight"]) for b in backends] == [
        ("demo-platform", 90),
        ("demo-platform-canary", 10),
    ]
    annotations = of(objects, "Ingress", "-canary")["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/canary-weight"] == "10"
    images = {
        o["metadata"]["name"]: pod(o)["containers"][0]["image"] for o in objects if o["kind"] == "Deployment"
    }
    assert images == {
        "demo-platform-api-blue": "platform-core:1.4.0",
        "demo-platform-api-canary": "platform-core:1.5.0",
        "demo-platform-worker-blue": "platform-core:1.4.0",
        "demo-platform-worker-canary": "platform-core:1.5.0",
        "demo-platform-scheduler": "platform-core:1.4.0",
    }
    assert pod(jobs(values="canary")["migrate"])["containers"][0]["image"] == "platform-core:1.5.0"


@needs_helm
def test_blue_and_green_change_places_by_one_value() -> None:
    def looks_at(*more: str) -> tuple[str, str]:
        objects = rendered(4, named("blue-green"), *more)
        public, preview = of(objects, "Service", "demo-platform"), of(objects, "Service", "-preview")
        return (
            public["spec"]["selector"]["platform-core/track"],
            preview["spec"]["selector"]["platform-core/track"],
        )

    assert looks_at() == ("blue", "green")
    assert looks_at("--set", "release.blueGreen.active=green") == ("green", "blue")
    objects = rendered(4, named("blue-green"), "--set", "release.blueGreen.green=")
    assert {o["metadata"]["name"] for o in objects if o["kind"] == "Deployment"} == {
        "demo-platform-api-blue",
        "demo-platform-worker-blue",
        "demo-platform-scheduler",
    }


@needs_helm
def test_changing_the_strategy_renames_nothing_that_clients_are_with() -> None:
    def main_track(strategy: str) -> tuple[Object, set[str]]:
        tags = ("image.tag=1.4.0", "release.blueGreen.blue=1.4.0", f"release.strategy={strategy}")
        objects = rendered(4, named("minimal"), *(word for tag in tags for word in ("--set", tag)))
        return of(objects, "Service", "demo-platform")["spec"]["selector"], {
            o["metadata"]["name"] for o in objects if o["kind"] == "Deployment"
        }

    assert main_track("rolling") == main_track("blueGreen") == main_track("canary")


@needs_helm
@pytest.mark.parametrize("values", ["blue-green", "canary"])
def test_every_track_is_scaled_so_that_a_switch_sets_no_number_of_pods(values: str) -> None:
    objects = rendered(4, named(values))
    scaled = {
        o["spec"]["scaleTargetRef"]["name"]: o["spec"]["minReplicas"]
        for o in objects
        if o["kind"] == "HorizontalPodAutoscaler"
    }
    deployments = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "Deployment"}
    assert scaled.keys() == deployments.keys() - {"demo-platform-scheduler"}
    assert all("replicas" not in deployments[name] for name in scaled)
    idle = "green" if values == "blue-green" else "canary"
    assert scaled[f"demo-platform-worker-{idle}"] == 1
    fixed = rendered(4, named(values), "--set", "api.autoscaling.enabled=false")
    assert of(fixed, "Deployment", f"api-{idle}")["spec"]["replicas"] == scaled[f"demo-platform-api-{idle}"]


@needs_helm
def test_pods_do_not_change_with_the_charts_version(values: Path) -> None:
    for thing in rendered(4, values):
        if thing["kind"] == "Deployment":
            labels = thing["spec"]["template"]["metadata"]["labels"]
            assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


@needs_helm
def test_the_charts_own_test_may_ask_every_process() -> None:
    objects = rendered(
        4, named("everything"), "--set-json", 'networkPolicy.monitoringFrom=[{"podSelector":{}}]'
    )
    [asks] = [o for o in objects if o["kind"] == "Pod"]
    labels = asks["metadata"]["labels"]
    compile(asks["spec"]["containers"][0]["args"][0], "answers", "exec")
    policy, own = (
        of(objects, "NetworkPolicy", "everything")["spec"],
        of(objects, "NetworkPolicy", "-test")["spec"],
    )
    [scrapes] = [rule for rule in policy["ingress"] if rule["ports"][0]["port"] == "internal"]
    allowed = scrapes["from"][-1]["podSelector"]["matchLabels"]
    assert allowed.items() <= labels.items()
    assert own["podSelector"]["matchLabels"].items() <= labels.items()
    assert own["egress"][0]["ports"] == [{"port": 9090, "protocol": "TCP"}]
    asked = own["egress"][0]["to"][0]["podSelector"]["matchLabels"]
    for thing in objects:
        if thing["kind"] == "Deployment":
            assert asked.items() <= thing["spec"]["template"]["metadata"]["labels"].items()


@needs_helm
def test_a_gateway_of_its_own_ends_tls_and_limits_each_address() -> None:
    """Red without a hostname: cert-manager asks for no certificate for a listener that has none."""
    objects = rendered(4, named("gateway"))
    secure = [one for one in of(objects, "Gateway")["spec"]["listeners"] if one["protocol"] == "HTTPS"]
    assert {one["name"]: one["hostname"] for one in secure} == {
        "https-0": "api.example.com",
        "https-1": "*.api.example.com",
    }
    assert all(one["tls"]["certificateRefs"] == [{"name": "api-tls"}] for one in secure)
    routes = {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "HTTPRoute"}
    assert {name: route["parentRefs"] for name, route in routes.items()} == {
        "demo-platform": [{"name": "demo-platform", "sectionName": one["name"]} for one in secure],
        "demo-platform-https": [{"name": "demo-platform", "sectionName": "http"}],
    }
    policy = of(objects, "BackendTrafficPolicy")["spec"]
    assert policy["targetRefs"][0]["name"] == "demo-platform"
    rules = policy["rateLimit"]["local"]["rules"]
    everybody = [rule["clientSelectors"][0]["sourceCIDR"]["value"] for rule in rules]
    assert everybody == ["0.0.0.0/0", "::/0"]
    assert [rule["limit"]["requests"] for rule in rules] == [1_000_000] * 2, "a whole number, however large"


@needs_helm
def test_a_long_migration_does_not_pass_for_a_release_that_failed() -> None:
    """Red when the Deployment gives up by its default of ten minutes, while its pods still wait as they were told."""
    objects = rendered(4, named("minimal"), "--set", "migrations.waitSeconds=3600")
    deadlines = [o["spec"]["progressDeadlineSeconds"] for o in objects if o["kind"] == "Deployment"]
    assert min(deadlines) > 3600


@needs_helm
def test_a_release_that_is_gone_is_missed_although_another_one_is_seen() -> None:
    """Red when any process will do: one Prometheus often watches staging and production."""
    groups = of(rendered(4, named("everything")), "PrometheusRule")["spec"]["groups"]
    [gone] = [rule["expr"] for group in groups for rule in group["rules"] if rule["alert"] == "PlatformGone"]
    assert gone == 'absent(platform_build_info{namespace="shop"})'


@needs_helm
def test_workers_follow_the_queue() -> None:
    external = of(rendered(4, named("minimal")), "HorizontalPodAutoscaler", "worker-blue")["spec"]
    assert (external["minReplicas"], external["maxReplicas"]) == (2, 5)
    assert external["metrics"][0]["external"]["metric"]["name"] == "platform_deliveries_due"
    keda = of(rendered(4, named("everything")), "ScaledObject")["spec"]["triggers"][0]["metadata"]
    assert keda["query"] == 'sum(max by (module) (platform_deliveries_due{namespace="shop"}))'
    api = of(rendered(4, named("minimal")), "HorizontalPodAutoscaler", "api-blue")["spec"]
    assert (api["minReplicas"], api["maxReplicas"]) == (3, 10)


@needs_helm
@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("publicUrl=http://api.example.com", "publicUrl"),
        ("image.tagg=1", "tagg"),
        ("settings.PLATFORM_ADMIN_PASSWORD=hunter2", "PLATFORM_ADMIN_PASSWORD"),
        ("storage.url=file:///var/lib/platform/files", "existingClaim"),
        ("release.strategy=blueGreen", "blue"),
        ("ingress.enabled=true", "hosts"),
        ("gateway.enabled=true,gateway.hostnames={api.example.com}", "parentRefs"),
        ("gateway.own.className=envoy", "tlsSecret"),
        (f"{OWN_GATEWAY},gateway.parentRefs[0].name=shared", "parentRefs"),
        (f"{OWN_GATEWAY},gateway.redirectParentRefs[0].name=shared", "redirectParentRefs"),
        ("worker.autoscaling.by=magic", "by"),
        ("api.replicas=many", "replicas"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(setting: str, told: str) -> None:
    for version in (3, 4):
        answer = helm(version, "template", "demo", str(CHART), "-f", str(named("minimal")), "--set", setting)
        assert answer.returncode != 0
        assert told in answer.stderr


@needs_helm
@pytest.mark.parametrize("kubernetes", ["1.31", "1.33", "1.35", "1.37"])
def test_four_releases_of_kubernetes_take_every_object(kubernetes: str, values: Path, tmp_path: Path) -> None:
    validate = pytest.importorskip(
        "kubernetes_validate", reason="`uv run nox -s deploy` has kubernetes-validate"
    )
    for thing in rendered(4, values):
        if thing["kind"] not in CUSTOM:
            validate.validate(thing, kubernetes, strict=True)


@needs_helm
@pytest.mark.skipif(not CRDS.is_dir(), reason="tools/deploy_tools.py brings the schemas where npm is")
def test_every_custom_resource_is_as_its_own_definition_wants_it() -> None:
    custom = [thing for values in VALUES for thing in rendered(4, values) if thing["kind"] in CUSTOM]
    assert {thing["kind"] for thing in custom} == CUSTOM

    def refused(objects: list[Object]) -> list[str]:
        command = ["node", str(Path(__file__).with_name("crds.mjs")), str(CRDS)]
        done = subprocess.run(command, input=json.dumps(objects), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    assert refused(custom) == []
    wrong = [{**thing, "spec": thing["spec"] | dict.fromkeys(LISTS, 3)} for thing in custom]
    assert len(refused(wrong)) == len(custom), "it would tell"


def test_the_charts_page_is_what_its_values_say() -> None:
    done = subprocess.run([sys.executable, "tools/chart_docs.py", "--check"], cwd=REPOSITORY)
    assert done.returncode == 0, "run: uv run python tools/chart_docs.py"


def test_the_chart_is_of_the_platforms_own_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert f'version = "{chart["appVersion"]}"' in project
