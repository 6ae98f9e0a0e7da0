"""Every form, in the order in which they are made and listed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from tuneloop.deployment.export.forms.form import SAFETENSORS, Form
from tuneloop.deployment.export.forms.gguf import GGUF_FORMS
from tuneloop.errors import DeploymentError
from tuneloop.table import FORM_GROUP, Table

FORMS = Table(FORM_GROUP, {form.name: form for form in GGUF_FORMS}, kind=Form)


def form_of(name: str) -> Form:
    """The form of this name.

    Raises:
        DeploymentError: there is none.
        ExtensionError: a package adds it, and it cannot be used.
    """
    form = FORMS.find(name)
    if form is None:
        raise DeploymentError(
            f"Unknown quantisation {name!r}: expected some of {', '.join(FORMS.names())}.",
            remedy="Correct `export.quantisations` in tuneloop.yaml.",
        )
    return form


def in_order(names: Collection[str]) -> list[Form]:
    """The forms of these names, in the order of the table.

    Raises:
        DeploymentError: there is none of a name.
        ExtensionError: one that a package adds cannot be used.
    """
    forms = {name: form_of(name) for name in sorted(set(names))}
    return [forms[name] for name in FORMS.names() if name in forms]


def sources(form: Form) -> Iterator[Form]:
    """What the form is made from, the nearest first; without the merged weights.

    Raises:
        DeploymentError: one of them is not there, or the form is made from itself.
    """
    seen = {form.name}
    while form.made_from != SAFETENSORS:
        form = form_of(form.made_from)
        if form.name in seen:
            raise DeploymentError(f"The form {form.name!r} is made from itself.")
        seen.add(form.name)
        yield form


def tools(forms: Iterable[Form]) -> dict[str, str]:
    """Versions of all tools that decide the bytes of forms: their own and their sources'."""
    links = (link for form in forms for link in (form, *sources(form)))
    told = {key: tell for link in links for key, tell in link.tools.items()}
    return {key: tell() for key, tell in told.items()}


def decided_by(form: Form) -> tuple[str, ...]:
    """The inputs of an export that decide the bytes of a form."""
    chain = (form, *sources(form))
    return ("base", "trained", "name", *(key for link in chain for key in link.tools))


def place(name: str) -> tuple[int, str]:
    """Sorts the names of an export's forms: the merged weights, our own, then others by name."""
    order = [SAFETENSORS, *FORMS.own]
    return (order.index(name) if name in order else len(order), name)
