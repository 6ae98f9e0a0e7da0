"""`alerts:` in the model file: what is refused, and that nothing shows a secret."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tuneloop.cli.main import app
from tuneloop.errors import ModelFileError
from tuneloop.modelfile import ChannelUrl, ModelSettings, load

BEGIN = "name: router\nbase: b\ndata:\n  sources: [rows.jsonl]\n"
SECRET = "hunter2"


def write(folder: Path, alerts: str) -> Path:
    path = folder / "tuneloop.yaml"
    path.write_text(f"{BEGIN}alerts:\n{alerts}")
    return path


def settings(folder: Path, alerts: str, *overrides: str) -> ModelSettings:
    return load(write(folder, alerts), overrides=overrides, environment={}).settings


def refused(folder: Path, alerts: str, *overrides: str) -> str:
    with pytest.raises(ModelFileError) as caught:
        settings(folder, alerts, *overrides)
    return str(caught.value)


def test_channels_are_shown_without_what_is_secret(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"  notify:\n    - mailto://ana:{SECRET}@example.org\n    - ${{TEAM_SLACK}}\n"
        f"    - slack://{SECRET}/${{TOKEN}}\n",
    )
    found = load(path, environment={})
    shown = ["mailto://****", "${TEAM_SLACK}", "slack://****"]
    assert [str(url) for url in found.settings.alerts.notify] == shown
    assert {key: value for key, value, _ in found.values()}["alerts.notify"] == shown
    assert SECRET not in repr(found) and SECRET not in found.settings.model_dump_json()
    for options in ([], ["--json"]):
        done = CliRunner().invoke(app, ["config", "show", "-f", str(path), *options])
        assert done.exit_code == 0 and "TEAM_SLACK" in done.output
        assert SECRET not in done.output


def test_a_reference_is_read_from_the_environment_when_it_is_used() -> None:
    url = ChannelUrl("mailto://ana:${PASSWORD}@example.org")
    assert url.resolved({"PASSWORD": SECRET}) == f"mailto://ana:{SECRET}@example.org"
    for environment in ({}, {"PASSWORD": ""}):
        with pytest.raises(ModelFileError, match=r"variable PASSWORD.*is not set"):
            url.resolved(environment)


@pytest.mark.parametrize(
    ("alerts", "message"),
    [
        (f"  notify:\n  - {SECRET}.example.org/x\n", ":7: alerts.notify.0: expected a URL"),
        (f"  notify:\n  - slack:/{SECRET}\n", "alerts.notify.0: expected a URL"),
        (f"  notify:\n  - slack://{SECRET} x\n", "alerts.notify.0: expected a URL"),
        (f"  notify:\n  - slack://${{A-B}}/{SECRET}\n", "not a reference"),
        ("  notify:\n  - slack://****\n", "not the URL itself"),
        (f"  notify: slack://{SECRET}\n", ":6: alerts.notify: expected a list"),
        (f"  notify: {{slack: {SECRET}}}\n", "alerts.notify: expected a list"),
        (f"  notify:\n  - [slack://{SECRET}]\n", "alerts.notify.0: expected a text"),
        (f"  notfy:\n  - slack://{SECRET}\n", "Did you mean 'notify'?"),
        (f"  - slack://{SECRET}\n", "alerts: expected keys with values"),
        (f"  repeat_hours: slack://{SECRET}\n", "alerts.repeat_hours"),
        ("  events: [alert]\n", "alerts.events.0"),
        (f"  also: [{{notify: ['slack://{SECRET}']}}]\n", "alerts.also.0.events: is required"),
        (
            f"  also: [{{notify: [{SECRET}], events: [alerts]}}]\n",
            "alerts.also.0.notify.0: expected",
        ),
        (f"  also: [{{notfy: ['slack://{SECRET}'], events: [alerts]}}]\n", "'notify'?"),
    ],
)
def test_mistakes_are_told_with_their_line_and_without_the_secret(
    tmp_path: Path, alerts: str, message: str
) -> None:
    said = refused(tmp_path, alerts)
    assert message in said and SECRET not in said


@pytest.mark.parametrize("key", ["alerts.notify.0", "alerts.notify"])
def test_a_flag_is_not_repeated_with_its_secret(tmp_path: Path, key: str) -> None:
    said = refused(tmp_path, "  notify: []\n", f"{key}=slack://{SECRET}")
    assert "alerts.notify" in said or "notify" in said
    assert SECRET not in said


@pytest.mark.parametrize(("begin", "end"), [('"22:00"', '"07:00"'), ("22:00", "07:00")])
def test_quiet_hours_with_and_without_quotes(tmp_path: Path, begin: str, end: str) -> None:
    found = settings(tmp_path, f"  quiet_hours: {{from: {begin}, to: {end}}}\n").alerts.quiet_hours
    assert found is not None
    assert (found.start, found.end, found.timezone) == (time(22), time(7), "UTC")


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        ('{from: "25:00", to: "07:00"}', "alerts.quiet_hours.from: expected a time of day"),
        ("{from: 22:00:00, to: 07:00}", "alerts.quiet_hours.from: expected a time of day"),
        ('{from: "22:00"}', "alerts.quiet_hours.to: is required"),
        ('{from: "22:00", till: "07:00"}', "Known keys: from, to, timezone"),
        ('{from: "22:00", to: "07:00", timezone: Berlin}', "timezone: expected a time zone"),
        ('{from: "22:00", to: "07:00", timezone: ../../etc}', "timezone: expected a time zone"),
    ],
)
def test_wrong_quiet_hours_are_refused(tmp_path: Path, hours: str, message: str) -> None:
    assert message in refused(tmp_path, f"  quiet_hours: {hours}\n")


def test_quiet_hours_know_where_they_come_from(tmp_path: Path) -> None:
    path = write(tmp_path, '  quiet_hours: {from: "22:00", to: "07:00"}\n')
    found = {key: (value, origin) for key, value, origin in load(path, environment={}).values()}
    assert found["alerts.quiet_hours.from"] == ("22:00:00", "file")
    assert found["alerts.quiet_hours.timezone"] == ("UTC", "default")


def test_other_channels_have_events_of_their_own_and_show_no_secret(tmp_path: Path) -> None:
    path = write(
        tmp_path, f"  also:\n    - {{notify: ['slack://{SECRET}/x'], events: [rollbacks]}}\n"
    )
    found = load(path, environment={})
    [group] = found.settings.alerts.also
    assert group.notify[0].get_secret_value() == f"slack://{SECRET}/x"
    assert SECRET not in repr(found) and SECRET not in found.settings.model_dump_json()
    done = CliRunner().invoke(app, ["config", "show", "-f", str(path), "--json"])
    assert done.exit_code == 0 and "rollbacks" in done.output and SECRET not in done.output
