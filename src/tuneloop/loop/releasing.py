"""The stage of what is live: deploy, roll out, go back, serve."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

from tuneloop import acting
from tuneloop.arguments import checked_methods
from tuneloop.candidates import backtesting, benching, candidate
from tuneloop.candidates.benching import Bench
from tuneloop.deployment import admission, controller, drill, endpoints, release, rollouts, up
from tuneloop.deployment.admission import Refusal
from tuneloop.deployment.backtest import Backtest
from tuneloop.deployment.drill import DrillReport
from tuneloop.deployment.endpoints import Endpoint
from tuneloop.deployment.load import Load
from tuneloop.deployment.release import Release
from tuneloop.deployment.rollouts import Rollout
from tuneloop.errors import UsageError
from tuneloop.evaluation import weakening
from tuneloop.loop.held import Held
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.aliases import Move
from tuneloop.registry.bundle import Bundle, Difference
from tuneloop.registry.weakness import Weakness
from tuneloop.status import screen as status
from tuneloop.status.changed_sources import changed_sources
from tuneloop.status.screen import Status
from tuneloop.storage.references import LATEST
from tuneloop.worker import process as worker_process


@checked_methods
class Releasing(Held):
    """A candidate into production, and back."""

    # Stage 4: deploy

    def bundle(self, reference: str = "production") -> Bundle:
        """A bundle by id, the beginning of it, or alias: production, previous, candidate.

        Raises:
            UsageError: none, or more than one, is meant.
            CorruptArtifactError: the stored manifest does not match its id.
        """
        return self.project.bundle(reference)

    def bundles(self) -> list[Bundle]:
        """All bundles of this model, the newest first."""
        return bundles.listing(self.workspace, model=self.model.name)

    def bundle_diff(self, before: str, after: str) -> list[Difference]:
        """Every part in which two bundles differ, named as for `bundle`.

        Raises:
            UsageError: none, or more than one, is meant by a name.
        """
        return bundles.diff(self.bundle(before), self.bundle(after))

    def refusals(self, reference: str = "candidate") -> tuple[Refusal, ...]:
        """What keeps a bundle out of production, whichever bundle that behaves the same it was
        said of; approvals that are still missing are in `loop.approvals.standing`.

        Raises:
            UsageError: none, or more than one, is meant.
        """
        return admission.refusals(self.workspace, self.bundle(reference))

    def verify_bundle(self, reference: str = "production") -> dict[str, Path]:
        """Read every byte of a bundle; returns the folders of its artifacts by their names.

        Raises:
            UsageError: none, or more than one, is meant.
            CorruptArtifactError: bytes have changed.
        """
        return bundles.verify(self.workspace, self.bundle(reference))

    def history(self, *, drills: bool = False) -> list[Move]:
        """What was in production when, who moved it and why, the newest first.

        `drills`: also the moves of rollback drills.
        """
        moves = aliases.history(self.workspace, self.model.name)
        return [m for m in moves if m.name == "production" and (drills or not m.drill)]

    def weaknesses(self, bundle: Bundle | str = "production") -> tuple[Weakness, ...]:
        """What a bundle was held to less than by default, or than production was then.

        Raises:
            UsageError: no bundle, or more than one, is meant.
        """
        resolved_bundle = self.bundle(bundle) if isinstance(bundle, str) else bundle
        return weakening.weakened(resolved_bundle.manifest)

    def deploy(self, bundle: Bundle | str = "candidate", *, reason: str) -> Release:
        """Put a bundle into production after verifying and smoke-testing it.

        `bundle` is one, or what `bundle()` understands; `reason` is kept in the history.

        Raises:
            UsageError: no bundle, or more than one, is meant.
            GateError: something keeps it out (see `refusals`), an approval is missing, or the smoke
                test fails; production is unchanged.
        """
        resolved_bundle = self.bundle(bundle) if isinstance(bundle, str) else bundle
        return candidate.deploy(self.project, resolved_bundle, reason=reason)

    def roll_out(self, bundle: Bundle | str = "candidate") -> Rollout:
        """Begin to move the endpoint to a bundle step by step: shadow, canary, full.

        Raises:
            GateError: something keeps it out (see `refusals`), an approval is missing, or the smoke
                test fails; production is unchanged.
            UsageError: nothing is in production, or nothing is being served.
            BusyError: a rollout is under way.
        """
        resolved_bundle = self.bundle(bundle) if isinstance(bundle, str) else bundle
        return candidate.roll_out(self.project, resolved_bundle)

    def rollout(self, reference: str = LATEST) -> Rollout:
        """A rollout by id, its beginning, or `latest`.

        Raises:
            UsageError: none, or more than one, is meant.
        """
        return rollouts.find(self.workspace, self.model.name, reference)

    def rollouts(self) -> list[Rollout]:
        """All rollouts of this model, the newest first."""
        return rollouts.listing(self.workspace, self.model.name)

    def steer_rollout(
        self, command: Literal["pause", "resume", "promote", "abort"], *, reason: str
    ) -> Rollout:
        """Pause, resume, promote or abort the rollout under way, by hand.

        Raises:
            UsageError: no rollout is under way, or the command does not fit where it is.
            GateError: it cannot go on, since something refuses the candidate by now.
            ConflictError: it was moved meanwhile.
        """
        return controller.steer(
            self.workspace, self.model.name, command, actor=self.actor, reason=reason
        )

    def roll_back(
        self, *, reason: str, force: bool = False, expected: str | None = None
    ) -> Endpoint:
        """Send the endpoint back to the previous bundle; doing it again undoes it.

        `expected`: the bundle to go back from; by default the one in production.

        Raises:
            UsageError: there is no previous bundle.
            GateError: somebody rejected it; nothing changed.
            ConflictError: another bundle than `expected` is in production; nothing changed.
            DeploymentError: its server fails, and `force` is not set; nothing changed.
        """
        return release.roll_back(
            self.workspace,
            model=self.model.name,
            actor=self.actor,
            reason=reason,
            force=force,
            expected=self.bundle(expected).id if expected else None,
        )

    def backtest(
        self, bundle: str = "candidate", *, since: timedelta = timedelta(days=7), limit: int = 300
    ) -> Backtest:
        """Ask a bundle what production was asked, and score both answers as a shadow stage does.

        `since`: how old a request may be; `limit`: conversations, the newest. No client sees
        anything of it.

        Raises:
            UsageError: nothing is in production, or nothing that it answered was captured.
            DeploymentError: the bundle's server does not come up.
        """
        return backtesting.backtest(self.project, self.bundle(bundle), since=since, limit=limit)

    def bench(
        self,
        bundle: str = "candidate",
        *,
        against: str | None = "production",
        loads: Sequence[Load] = (),
        gate: bool = False,
    ) -> Bench:
        """Latency of a bundle's server under a load, in turns with another one's (E11).

        `loads`: by default those of the model file; with `gate` always, and its gates are judged.
        Where nothing is in production yet, the bundle is measured alone.

        Raises:
            UsageError: it was never evaluated, so there is nothing to ask it; or `gate`, and the
                model file has no latency gates.
            EvaluationError: `gate`, and one of them cannot be understood.
            DeploymentError: a server does not come up.
        """
        resolved_bundle = self.bundle(bundle)
        if gate:
            return benching.gate(self.project, resolved_bundle, against=against)
        declared = benching.declared_loads(self.model.bench)
        return benching.bench(
            self.project, resolved_bundle, against=against, loads=loads or declared
        )

    def drill(
        self, *, repeats: int = 3, connections: int = 16, key: str | None = None
    ) -> DrillReport:
        """Rehearse rolling back on the live endpoint, there and back, and measure it.

        `repeats`: there and back, each; `connections`: clients that ask meanwhile; `key`: an API
        key of the endpoint, where it asks for one.

        Raises:
            UsageError: nothing is being served, or there is no previous bundle.
            GateError: that bundle was rejected or rolled back: clients would be answered by it.
            DeploymentError: a switch does not take effect.
        """
        url = up.gateway_url(self.workspace)
        if url is None:
            raise UsageError("Nothing is being served.", remedy="Start it with: tuneloop up -d")
        probing = drill.Probing(
            url=url,
            endpoint=self.model.endpoint_name,
            messages=[{"role": "user", "content": "Hello"}],
            connections=connections,
            key=key,
        )
        return drill.drill(
            self.workspace,
            probing,
            model=self.model.name,
            repeats=repeats,
            actor=self.actor,
            progress=self.progress,
        )

    def up(self) -> None:
        """Serve until the process is told to stop; the endpoint takes over the file's settings.

        It takes SIGTERM, SIGINT and SIGHUP, so it needs the main thread; a notebook wants
        `up_detached`.

        Raises:
            BusyError: it is running already.
            DeploymentError: a server does not come up.
        """
        endpoints.take_over_settings(self.workspace, model=self.model, actor=self.actor)
        up.serve_until_told(
            self.workspace,
            host=self.model.endpoint.host,
            port=self.model.endpoint.port,
            count=self.model.endpoint.processes,
            beside=worker_process.beside(
                self.workspace, self.model_file.path, self.model_file.overrides
            ),
        )

    def up_detached(self) -> str:
        """Serve in the background; returns the gateway's URL once all is ready.

        Raises:
            BusyError: it is running already.
            DeploymentError: it is not ready in time; it is stopped again.
        """
        flags = [f"--set={flag}" for flag in self.model_file.overrides]
        arguments = ["-f", str(self.model_file.path), *flags]
        return up.start_detached(
            self.workspace, arguments, environment={acting.VARIABLE: self.actor}
        )

    def down(self) -> bool:
        """Stop serving; whether it was running."""
        return up.stop(self.workspace)

    def status(self) -> Status:
        """What is live, since when, is it healthy, what next."""
        return status.status(
            self.workspace,
            self.model,
            gateway_url=up.gateway_url(self.workspace),
            changed_sources=changed_sources(self.project),
        )
