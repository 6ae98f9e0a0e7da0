"""`loop.channels`."""

from __future__ import annotations

from tuneloop.arguments import checked_methods
from tuneloop.loop.part import Part
from tuneloop.monitoring.notifications import delivery, outbox, rules
from tuneloop.monitoring.notifications.delivery import Attempt
from tuneloop.monitoring.notifications.outbox import Delivery
from tuneloop.monitoring.notifications.rules import Channel


@checked_methods
class Channels(Part):
    """Where people are told of alerts and more: the URLs under `alerts` in the model file."""

    def listing(self) -> dict[str, Channel]:
        """The channels by the names that people see, which show no secret."""
        return rules.channels(self._project.model.alerts)

    def test(self) -> list[Attempt]:
        """Send a test message to every channel; why one was not delivered is in its `error`.

        Raises:
            UsageError: the model file names no channel.
        """
        project = self._project
        return delivery.send_trial(
            project.workspace, project.model.name, project.model.alerts, actor=project.actor
        )

    def deliveries(self, *, limit: int = 50) -> list[Delivery]:
        """What was told to whom, what waits and what was not delivered; at most `limit`."""
        return outbox.listing(self._project.workspace, self._project.model.name, limit=limit)
