"""`loop.keys`."""

from __future__ import annotations

from collections.abc import Sequence

from tuneloop.arguments import checked_methods
from tuneloop.deployment import access
from tuneloop.loop.part import Part
from tuneloop.registry import keys
from tuneloop.registry.keys import ApiKey, Grant


@checked_methods
class Keys(Part):
    """API keys of the gateway. With the first one it asks everybody for a key."""

    def create(
        self,
        name: str,
        *,
        endpoints: Sequence[str] = (),
        rate: float | None = None,
        concurrency: int | None = None,
        feedback_for_all: bool = False,
    ) -> tuple[ApiKey, str]:
        """Make a key for the person, team or program `name`; its text is not kept anywhere.

        `endpoints` that it opens, by default all; `rate`: requests a minute; `concurrency`:
        requests at a time; `feedback_for_all`: it may give feedback on the answers that others got.

        Raises:
            UsageError: a limit is not above 0.
        """
        grant = Grant(
            owner=name,
            endpoints=tuple(endpoints),
            feedback_for_all=feedback_for_all,
            requests_per_minute=rate,
            concurrent_requests=concurrency,
        )
        return access.create(self._project.workspace, grant, actor=self._project.actor)

    def listing(self) -> list[ApiKey]:
        """All keys, without their secrets, the newest first."""
        return keys.listing(self._project.workspace)

    def revoke(self, key: str) -> ApiKey:
        """Close a key, named by whom it is for or by its id; gateways refuse it within a second.

        Raises:
            UsageError: no key, or several, are meant.
        """
        return access.revoke(self._project.workspace, key, actor=self._project.actor)
