"""Stage 6: what is a reason to retrain, and who decides."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tuneloop.modelfile.sections.base import Cadence, Section, Share

Role = Literal["expert", "engineer", "curator", "admin"]


class ReviewSettings(Section):
    """Stage 6: how people judge what comes from production."""

    double_share: Share = Field(
        0.0,
        description="Share of the items that two people judge, neither seeing what the other "
        "decided; 0.1 is usual where there are two. It holds for items queued from then on.",
    )


class TriggerSettings(Section):
    """Stage 6: what is a reason to retrain, and what is noise."""

    minimum_corrections: Annotated[int, Field(ge=1)] = Field(
        20, description="Approved corrections that make a new cycle worth its time."
    )
    minimum_new_rows: Annotated[int, Field(ge=1)] = Field(
        50, description="New or corrected rows in data.sources that make a new cycle worth it."
    )
    minimum_new_share: Share = Field(
        0.05, description="The same as a share of the rows of the last version; both must be met."
    )
    consecutive_windows: Annotated[int, Field(ge=1)] = Field(
        2, description="Windows in a row whose whole interval must be beyond a monitor's limit."
    )
    maximum_overlap: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.25, description="Share of its time that such a window may share with the next."
    )
    new_words_above: Share = Field(
        0.05, description="Share of the prompts with a lasting new word: a change of vocabulary."
    )
    cooldown_days: Annotated[float, Field(ge=0)] = Field(
        7.0, description="Days after a cycle in which no other one is begun."
    )
    cooldown_days_without_benchmark: Annotated[float, Field(ge=0)] = Field(
        30.0,
        description="The same while no golden suite of evaluation.minimum_cases cases tells a "
        "better bundle from luck.",
    )
    refresh_days: Annotated[float, Field(gt=0)] = Field(
        90.0, description="Days after the last cycle when new rows are worth a refresh."
    )


class ScheduleSettings(Section):
    """Stage 6: when the worker does what comes again and again.

    daily, weekly (Monday), monthly and quarterly mean 02:00 UTC; or a crontab line, in UTC, whose
    sixth field is seconds where there is one; or never.
    """

    hourly_monitors: Cadence = Field(
        "0 * * * *", description="Monitors that look at every hour: whether anybody asks."
    )
    daily_monitors: Cadence = Field("daily", description="Monitors that look at every day.")
    weekly_monitors: Cadence = Field("weekly", description="Monitors that look at every week.")
    golden: Cadence = Field(
        "daily", description="Ask the golden suites; also after every deployment."
    )
    judge: Cadence = Field("daily", description="Let the judge score its share of the answers.")
    sample: Cadence = Field("weekly", description="Draw the week's sample for people.")
    sources: Cadence = Field(
        "0 * * * *",
        description="Look whether data.sources changed; decide at once where enough is new.",
    )
    triggers: Cadence = Field("daily", description="Decide whether to retrain.")


class AutomationSettings(Section):
    """Stage 6: what the worker may do on its own."""

    level: Literal[1, 2, 3, 4] = Field(
        1,
        description="1: nothing; 2: evaluate; 3: retrain when a trigger says so, and a person "
        "judges the evaluation; 4: all of it, and a person approves the deployment.",
    )


class ApprovalRule(Section):
    """Whose approval it takes, and of how many."""

    roles: tuple[Role, ...] = Field(
        ("expert",), min_length=1, description="One of these roles makes an approval count."
    )
    count: Annotated[int, Field(ge=1)] = Field(1, description="How many people must approve.")
    not_author: bool = Field(
        True, description="Whoever made the candidate cannot approve it themselves."
    )


class ApprovalSettings(Section):
    """Who must approve a bundle before it answers any client; by default nobody."""

    evaluation: ApprovalRule | None = Field(
        None, description="Sign-off of the evaluation: a person has read the report."
    )
    deploy: ApprovalRule | None = Field(
        None, description="Permission to deploy the bundle or to begin its rollout."
    )
