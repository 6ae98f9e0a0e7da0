"""Keys of the gateway, made and closed: running gateways know at once."""

from __future__ import annotations

from tuneloop.deployment import servers
from tuneloop.registry import keys
from tuneloop.registry.keys import ApiKey, Grant
from tuneloop.workspace import Workspace


def create(workspace: Workspace, grant: Grant, *, actor: str) -> tuple[ApiKey, str]:
    """A new key and its text, which is not kept anywhere.

    Raises:
        UsageError: the owner is empty or a limit is not above 0.
    """
    made = keys.create(workspace, grant, actor=actor)
    servers.publish(workspace)
    return made


def revoke(workspace: Workspace, reference: str, *, actor: str) -> ApiKey:
    """Close a key for good; gateways refuse it within a second.

    Raises:
        UsageError: the reference means no key, or several.
    """
    closed = keys.revoke(workspace, reference, actor=actor)
    servers.publish(workspace)
    return closed
