"""`tuneloop people`: who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    finishing,
    open_loop,
    out,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from tuneloop.registry.people import Person

app = typer.Typer(
    no_args_is_help=True,
    help="People and their roles: add, list, remove. While nobody is declared, everybody may do "
    "everything.\n\nWho you are is your system user name, or what TUNELOOP_ACTOR says.",
)
NameArgument = Annotated[str, typer.Argument(help="As they act: user name or TUNELOOP_ACTOR.")]
RoleOption = Annotated[
    list[str] | None,
    typer.Option("--role", help="expert, engineer, curator or admin; may be repeated."),
]
ScopeOption = Annotated[
    bool, typer.Option("--this-model", help="For the model of the model file only.")
]


@app.command()
def add(
    name: NameArgument,
    role: RoleOption = None,
    this_model: ScopeOption = False,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Give somebody roles. The first person must be an administrator.

    Example: tuneloop people add ines --role expert --role curator
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        added = loop.people.add(name, role or (), this_model=this_model)
    print_json(added) if json_ else _print(added)


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List everybody, and how many people can judge the model.

    Example: tuneloop people list --json
    """
    from tuneloop.registry import people

    with finishing(open_loop(file, quiet=True)) as loop:
        listed = loop.people.listing()
        factor = loop.people.bus_factor()
    if json_:
        print_json({"people": listed, "bus_factor": factor, "permitted": people.PERMITTED})
        return
    if listed:
        _print(listed)
    if factor.warning:
        out.print(f"[yellow]{factor.warning}[/]")


@app.command()
def remove(
    name: NameArgument,
    role: RoleOption = None,
    this_model: ScopeOption = False,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Take roles from somebody; without --role all that they have for every model.

    Example: tuneloop people remove ines --role curator
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        gone = loop.people.remove(name, role or (), this_model=this_model)
    if json_:
        print_json({"removed": gone})
        return
    out.print(f"{name} is no longer {', '.join(person.role for person in gone)}.", markup=False)


def _print(listed: list[Person]) -> None:
    rows = table("name", "role", "for", "since")
    for person in listed:
        rows.add_row(
            person.name, person.role, person.model or "every model", f"{person.added_at:%Y-%m-%d}"
        )
    page(rows)
