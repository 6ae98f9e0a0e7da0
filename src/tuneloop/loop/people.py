"""`loop.people`."""

from __future__ import annotations

from collections.abc import Sequence

from tuneloop.arguments import checked_methods
from tuneloop.loop.part import Part
from tuneloop.registry import people
from tuneloop.registry.people import BusFactor, Person


@checked_methods
class People(Part):
    """People and their roles. While nobody is declared, everybody may do everything.

    Roles are `expert`, `engineer`, `curator` and `admin`, for every model of the workspace, or for
    this one with `this_model`.
    """

    def add(self, name: str, roles: Sequence[str], *, this_model: bool = False) -> list[Person]:
        """Give somebody roles; returns everybody. The first person must be an administrator.

        Raises:
            UsageError: a name or a role is none, or the first person would be no administrator.
            NotAllowedError: only administrators may.
        """
        return people.add(
            self._project.workspace,
            name,
            people.known_roles(roles),
            model=self._scope(this_model),
            actor=self._project.actor,
        )

    def remove(
        self, name: str, roles: Sequence[str] = (), *, this_model: bool = False
    ) -> list[Person]:
        """Take roles from somebody, by default all that they have; returns what was taken.

        Raises:
            UsageError: there is nothing to take, or no administrator would be left.
            NotAllowedError: only administrators may.
        """
        return people.remove(
            self._project.workspace,
            name,
            people.known_roles(roles),
            model=self._scope(this_model),
            actor=self._project.actor,
        )

    def listing(self) -> list[Person]:
        """Everybody who is declared, by name."""
        return people.listing(self._project.workspace)

    def bus_factor(self) -> BusFactor:
        """Who can judge this model, with a warning where that is fewer than two people."""
        return people.bus_factor(self._project.workspace, self._project.model.name)

    def _scope(self, this_model: bool) -> str:
        return self._project.model.name if this_model else people.EVERY_MODEL
