"""What is known of a model at one moment, as far as `advice` needs it: records without rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CandidateStanding = Literal[
    "waits", "accepted", "outdated", "refused", "rejected", "rolling out", "taken back"
]
"""waits: for approvals. accepted: nothing keeps it from production. outdated: it was compared with
another bundle than the one in production. taken back: by its rollout or a rollback, under this id
or another."""
Role = Literal["production", "previous", "candidate"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """The bundle in production, and who answers for it."""

    bundle: str
    """Short id, as everywhere here."""
    server: str = "ready"
    """Status of its model server."""
    switching_from: tuple[str, ...] = ()
    """Bundles that answer until its server is ready."""


@dataclass(frozen=True, kw_only=True)
class OpenAlert:
    """An alert that is not resolved, and which bundles crossed its limit."""

    monitor: str
    opened_on: str | None
    """The bundle that was measured when it opened; None: it is about no bundle."""
    measured: tuple[str, ...] = ()
    """Every bundle that has crossed the limit since, the last one last."""
    since_live: bool = True
    """Whether it opened after the bundle in production had gone there."""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The bundle that the alias `candidate` names."""

    bundle: str
    standing: CandidateStanding
    reason: str = ""
    """Why it stands there: what it missed, who must approve it."""
    kinds: tuple[str, ...] = ()
    """Approvals that are missing."""
    evaluation: str = ""
    """Id of its report."""


@dataclass(frozen=True, kw_only=True)
class LastRollout:
    """The newest rollout."""

    id: str
    candidate: str
    status: str
    """running, paused, finished, rolled_back or aborted"""
    detail: str = ""
    asks: bool = False
    """Whether it holds until a person has looked."""


@dataclass(frozen=True, kw_only=True)
class LastCycle:
    """The newest cycle."""

    id: str
    status: str
    outcome: str = ""
    bundle: str | None = None
    """The candidate that it made."""
    at_work: bool = False
    """Whether a process of this machine is at it."""

    @property
    def under_way(self) -> bool:
        """Whether it has not come to its end."""
        return self.status in ("asked", "running", "waiting")


@dataclass(frozen=True, kw_only=True)
class Erased:
    """A bundle with a name that was made of rows which an erasure deleted."""

    bundle: str
    role: Role
    erasure: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a model at one moment."""

    live: Served | None = None
    previous: str | None = None
    came_by_rollback: bool = False
    """Whether the bundle in production was gone back to; somebody took `previous` out then."""
    gateway_runs: bool = True
    alerts: tuple[OpenAlert, ...] = ()
    candidate: Candidate | None = None
    rollout: LastRollout | None = None
    cycle: LastCycle | None = None
    erased: tuple[Erased, ...] = ()
    open_reviews: int = 0
    """Items that nobody, or only one of two people, has judged."""
    disputed_reviews: int = 0
    approved_corrections: int = 0
    new_corrections: int = 0
    """Approved, and in no dataset that a bundle was made or refused on."""
    minimum_corrections: int = 20
    changed_sources: tuple[str, ...] = ()
    """Data files that are not what the bundle in production was made of."""
    worker_alive: bool = True
    scheduled: bool = True
    """Whether the model file wants anything done on a schedule."""
    rolls_out: bool = False
    """Whether the model file wants rollouts step by step."""
