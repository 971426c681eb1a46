"""`platform modules`, `platform config` and `platform openapi`: nothing has to run for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import fromstring

from platform_core import _production

if TYPE_CHECKING:
    from conftest import CommandLine

SECRET = "kZ3v9Qx7Lm2Tn8Rb5Wc1Yd6Hf4Jg0PsAuEoIi"  # pragma: allowlist secret


def test_modules_are_listed_as_json_and_as_plain_columns(cli: CommandLine, tmp_path: Path) -> None:
    modules = {module["name"]: module for module in cli("modules", "list", "--json").json}
    assert {"platform", "user_management", "notification"} <= modules.keys()
    assert modules["notification"]["requires"] == ["user_management"]
    assert modules["notification"]["status"] == "active"
    plain = cli("modules", "list").out
    assert "optional" in plain
    assert plain.startswith("MODULE ")
    assert "\x1b" not in plain
    assert not (tmp_path / ".platform").exists()


def test_module_is_shown_with_what_it_declares(cli: CommandLine) -> None:
    shown = cli("modules", "show", "user_management", "--json").json
    assert "/users" in shown["paths"]
    assert "POST /api/v1/users/register" in shown["routes"]
    assert "user_management.users" in shown["tables"]
    assert "user_management.user_registered v1" in shown["publishes"]
    assert "notification" in shown["needed_by"]
    assert any(line.startswith("PLATFORM_USER_MANAGEMENT_SIGNING_KEY: ") for line in shown["settings"])
    assert "user_management.register_user" in shown["handles"]
    assert any(line.startswith("users:read: ") for line in shown["permissions"])
    assert "users:read: " in cli("modules", "show", "user_management").out


def test_unknown_module_is_wrong_usage_and_says_which_there_are(cli: CommandLine) -> None:
    outcome = cli("modules", "show", "nope")
    assert outcome.code == 2
    assert "installed are: platform, " in outcome.err
    assert "user_management, notification" in outcome.err


def test_graph_is_drawn_for_people_and_as_mermaid_and_as_data(cli: CommandLine) -> None:
    assert "needs, asks, hears events of user_management" in cli("modules", "graph").out
    drawn = cli("modules", "graph", "--format", "mermaid").out.splitlines()
    assert drawn[0] == "graph LR"
    assert "    notification --> user_management" in drawn
    assert "    user_management == events ==> notification" in drawn
    data = cli("modules", "graph", "--format", "json").json
    assert {"source": "orders", "relation": "has sagas act in", "target": "courses"} in data["edges"]


def test_graph_is_drawn_as_a_picture_that_needs_nothing_else(cli: CommandLine) -> None:
    picture = fromstring(cli("modules", "graph", "--format", "svg").out)  # noqa: S314  # our own
    kind = "{http://www.w3.org/2000/svg}"
    boxes = {group.findtext(f"{kind}title") for group in picture.iter(f"{kind}g")}
    lines = {line.findtext(f"{kind}title") for line in picture.iter(f"{kind}path")} - {None}
    assert "user_management 0.1.0, required" in boxes
    assert "project_management asks file_management" in lines
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for group in picture.iter(f"{kind}g"):
        x, y = map(float, group.attrib["transform"].removeprefix("translate(").rstrip(")").split())
        assert 0 < x < width - 200
        assert 0 < y < height - 58


def test_settings_are_shown_with_their_source_and_secrets_masked(cli: CommandLine, tmp_path: Path) -> None:
    pepper = tmp_path / "pepper"
    pepper.write_text(SECRET)
    environment = {
        "PLATFORM_ENV": "production",
        "DATABASE_URL": f"postgresql://platform:{SECRET}@db/platform",
        "PLATFORM_SECRET_KEY": SECRET,
        "STORAGE_URL": f"s3://key:{SECRET}@bucket/prefix",
        "PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER_FILE": str(pepper),
    }
    shown = cli("config", "show", "--json", env=environment)
    assert shown.code == 0, shown.err
    settings = {setting["variable"]: setting for setting in shown.json}
    assert settings["PLATFORM_SECRET_KEY"]["value"] == "********"
    assert settings["PLATFORM_SECRET_KEY"]["source"] == "environment"
    assert settings["PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER"]["source"] == f"file {pepper}"
    assert settings["REDIS_URL"] == {**settings["REDIS_URL"], "value": None, "source": "missing"}
    assert settings["PLATFORM_POLL_SECONDS"] == {
        **settings["PLATFORM_POLL_SECONDS"],
        "value": "1",
        "source": "default",
    }
    assert all(setting["description"] for setting in settings.values())
    table = cli("config", "show", env=environment)
    for outcome in (shown, table):
        assert SECRET not in outcome.out + outcome.err


def test_what_is_chosen_of_a_frozen_set_is_shown_with_both_its_sources(
    cli: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "modules.txt"
    file.write_text("courses==0.1.0\norders==0.1.0\n")
    narrowed = {"PLATFORM_MODULES_FILE": str(file), "PLATFORM_MODULES": "courses"}
    shown = cli("config", "show", "--module", "platform", "--json", env=narrowed).json
    (modules,) = [setting for setting in shown if setting["variable"] == "PLATFORM_MODULES"]
    assert (modules["value"], modules["source"]) == ("courses", f"environment, chosen of file {file}")


def test_dotenv_is_read_in_development_only(cli: CommandLine, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PLATFORM_LOG_LEVEL=DEBUG\n")

    def level(**env: str) -> tuple[str, str]:
        settings = {
            s["variable"]: s for s in cli("config", "show", "--json", "--module", "platform", env=env).json
        }
        return settings["PLATFORM_LOG_LEVEL"]["value"], settings["PLATFORM_LOG_LEVEL"]["source"]

    assert level() == ("DEBUG", ".env")
    assert level(PLATFORM_LOG_LEVEL="ERROR") == ("ERROR", "environment")
    assert level(PLATFORM_ENV="production") == ("INFO", "default")


def test_openapi_document_is_printed_without_a_database(cli: CommandLine) -> None:
    document = cli("openapi").json
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/users/register" in document["paths"]


def test_a_deployments_secrets_are_made_once_and_are_good_enough_for_production(cli, tmp_path: Path) -> None:
    files = tmp_path / "secrets"
    made = cli("config", "secrets", str(files), "--json").json["made"]
    assert made == [
        "PLATFORM_SECRET_KEY",
        "PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER",
        "PLATFORM_USER_MANAGEMENT_SIGNING_KEY",
    ]
    before = {path.name: path.read_text() for path in files.iterdir()}
    assert {path.stat().st_mode & 0o777 for path in files.iterdir()} == {0o600}
    assert _production.weakness(before["PLATFORM_SECRET_KEY"]) is None
    signing_key = before["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"]
    assert signing_key.startswith("-----BEGIN PRIVATE KEY")  # pragma: allowlist secret
    (files / "PLATFORM_SECRET_KEY").unlink()
    again = cli("config", "secrets", str(files))
    assert "Made: PLATFORM_SECRET_KEY." in again.out
    after = {path.name: path.read_text() for path in files.iterdir()}
    assert [name for name in before if before[name] != after[name]] == ["PLATFORM_SECRET_KEY"]
