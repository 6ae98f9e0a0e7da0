"""Which gates, settings and suites ask for less than by default, or than production was asked for.

Pure rules on the `evaluation` section as the model file says it and as a manifest keeps it. What
cannot be compared, such as a bar in the place of a comparison, is not known to be as strong, and is
told as well: nothing may sink unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from tuneloop.evaluation.gates import Gate, condition_of
from tuneloop.modelfile import HELD_OUT, EvaluationSettings, GateSettings
from tuneloop.modelfile.sections.gates import default_gates, stated_as
from tuneloop.registry.manifest import Manifest
from tuneloop.registry.weakness import Than, Weakness, stored

Settings = Mapping[str, Any]
"""The `evaluation` section in JSON form; what an earlier release did not know is not in it."""

_DECISIONS = ("lenient", "balanced", "strict")
"""From the weakest on."""
_LOOSER: Mapping[str, Callable[[Any, Any], bool]] = {
    "margin": lambda now, was: bool(now > was),
    "minimum_cases": lambda now, was: bool(now < was),
    "allow_small_suite": lambda now, was: bool(now and not was),
    "decision": lambda now, was: _DECISIONS.index(now) < _DECISIONS.index(was),
}
"""Setting → whether a value lets more pass than another one."""
_UPWARDS = (">=", ">")


def weakened(manifest: Manifest) -> tuple[Weakness, ...]:
    """What a bundle was held to less than others, as its manifest says it.

    Bundles of earlier releases do not say it: they are held against the default gates.
    """
    evaluated = manifest.evaluation
    if evaluated.weakened is not None:
        return stored(evaluated.weakened)
    prose = manifest.task.further.get("kind") == "prose"
    return tuple(than_default(evaluated.settings, prose=prose)) if evaluated.settings else ()


def weaker(
    settings: Settings,
    *,
    prose: bool,
    production: Settings | None,
    cases: Mapping[str, Collection[str]],
    production_cases: Mapping[str, Collection[str]],
) -> tuple[Weakness, ...]:
    """All that is asked for less, what is weaker than production's first.

    `production` is what the bundle in production was held against, None: there is none. Cases are
    suite → identities of its cases, of everything that is asked now and that was asked then.
    """
    found = [
        *(than_production(settings, production) if production is not None else ()),
        *fewer_cases(cases, production_cases, reasons=settings.get("reasons", {})),
    ]
    told = {(weakness.about, weakness.was) for weakness in found}
    default = than_default(settings, prose=prose)
    return (*found, *(one for one in default if (one.about, one.was) not in told))


def than_default(settings: Settings, *, prose: bool) -> Iterator[Weakness]:
    """What is weaker than by default."""
    usual = EvaluationSettings().model_dump(mode="json")
    declared = _gates(settings)
    for metric, default in default_gates(prose=prose).items():
        key = stated_as(metric, declared) or metric
        yield from _of_gate(
            key, declared.get(key), default, than="default", now=settings, was=usual
        )
    yield from _of_settings(settings, usual, than="default")


def than_production(settings: Settings, production: Settings) -> Iterator[Weakness]:
    """What is weaker than what the bundle in production was held against."""
    declared = _gates(settings)
    for key, was in _gates(production).items():
        if was.condition is not None:
            here = stated_as(key, declared) or key
            yield from _of_gate(
                here, declared.get(here), was, than="production", now=settings, was=production
            )
    yield from _of_settings(settings, production, than="production")


def fewer_cases(
    now: Mapping[str, Collection[str]],
    was: Mapping[str, Collection[str]],
    *,
    reasons: Mapping[str, str],
) -> Iterator[Weakness]:
    """Suites whose cases are asked no more; one that only moved to another suite is asked still."""
    asked = {case for cases in now.values() for case in cases}
    for suite, cases in was.items():
        gone = len(set(cases) - asked)
        if not gone:
            continue
        are = "is" if gone == 1 else "are"
        told = f"{gone} of the {len(set(cases))} cases of suite {suite} {are} gone"
        if suite not in now:
            told = f"suite {suite} was dropped, and {gone} of its {len(set(cases))} cases"
        yield Weakness(
            about=f"evaluation.suites.{suite}",
            than="production",
            now=told,
            reason=reasons.get(suite, ""),
        )


def is_weaker(now: Gate, was: Gate) -> bool:
    """Whether something may pass `now` that would not pass `was`."""
    if now.is_relative or was.is_relative:
        if now.reference != was.reference:
            return True
        return was.comparison == "better than" and now.comparison != was.comparison
    if (now.comparison in _UPWARDS) != (was.comparison in _UPWARDS):
        return True
    if now.bound == was.bound:
        return len(now.comparison) > len(was.comparison)  # ">=" takes the bound itself, too
    return (now.bound < was.bound) == (was.comparison in _UPWARDS)


def _of_gate(
    key: str,
    gate: GateSettings | None,
    stronger: GateSettings,
    *,
    than: Than,
    now: Settings,
    was: Settings,
) -> Iterator[Weakness]:
    """Of a gate that is declared, dropped, or not there at all, against a stronger one."""
    suite, dot, _ = key.partition(".")
    of_suite = now.get("reasons", {}).get(suite, "") if dot else ""
    reason = (gate.reason if gate is not None else "") or of_suite
    if gate is None or gate.condition is None:
        told, before = f"{key} is not asked", str(stronger.condition)
    elif is_weaker(condition_of(key, gate), condition_of(key, stronger)):
        told, before = f"{key} {gate.condition}", str(stronger.condition)
    elif (least := _minimum(key, gate, now)) < (before_least := _minimum(key, stronger, was)) and (
        gate.minimum_cases or stronger.minimum_cases
    ):
        told, before = f"{key} passes on {least} cases", str(before_least)
    else:
        return
    yield Weakness(about=f"evaluation.gates.{key}", than=than, now=told, was=before, reason=reason)


def _minimum(key: str, gate: GateSettings, settings: Settings) -> int:
    """How many cases a gate must count."""
    if gate.minimum_cases is not None:
        return gate.minimum_cases
    files = [suite["name"] for suite in settings.get("suites", ())]
    if settings.get("allow_small_suite") or key.partition(".")[0] in files:
        return 0
    return int(settings.get("minimum_cases", 0))


def _of_settings(now: Settings, was: Settings, *, than: Than) -> Iterator[Weakness]:
    for name, is_looser in _LOOSER.items():
        if name in now and name in was and is_looser(now[name], was[name]):
            yield Weakness(
                about=f"evaluation.{name}",
                than=than,
                now=f"{name} {_shown(now[name])}",
                was=_shown(was[name]),
                reason=now.get("reasons", {}).get(name, ""),
            )


def _gates(settings: Settings) -> dict[str, GateSettings]:
    """The gates of a section, by their metric where they are on the held-out cases."""
    return {
        key.removeprefix(f"{HELD_OUT}."): GateSettings.model_validate(gate)
        for key, gate in settings.get("gates", {}).items()
    }


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
