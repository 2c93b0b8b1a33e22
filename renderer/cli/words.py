"""`dreamreel words`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from renderer.cli.options import command
from renderer.cli.show.terminal import Terminal

if TYPE_CHECKING:
    from renderer.dreaming.networks.classes import Words


def add(app: typer.Typer) -> None:
    """Register the command."""
    command(app, name="words")(_words)


def _words(
    terminal: Terminal,
    term: Annotated[
        str | None, typer.Argument(metavar="TERM", help="A word, a part of one, or a number. [all groups]")
    ] = None,
) -> None:
    """List the words that --of takes: groups of classes, and the classes that a word or a part of one finds."""
    from renderer.dreaming.networks.classes import class_numbers, find_words, imagenet_names, words

    table = words()
    if term is None:
        groups, classes = list(table.groups), list[int]()
    else:
        groups, classes = find_words(term)
        if not groups and not classes:
            class_numbers(term, names=imagenet_names(), count=len(imagenet_names()))  # says so, with the nearest
        _tell_meaning(terminal, term)
    for group in groups:
        _tell_group(terminal, table, group)
    for number in classes:
        _tell_class(terminal, table, number)
    if term is None:
        terminal.note("`dreamreel words TERM` finds classes: by a part of their name, by a group, by number.")


def _tell_meaning(terminal: Terminal, term: str) -> None:
    """Say what `--of TERM` would dream of, and what it would not."""
    from renderer.dreaming.networks.classes import check_word, meanings, notes_of
    from renderer.errors import UsageError

    if term.strip().isdecimal() or not (found := meanings(term)):
        return
    try:
        check_word(term)
    except UsageError as error:
        terminal.result(str(error), event="meaning", word=term, numbers=None, note=str(error))
        return
    note = next(notes_of([term]), "")
    terminal.result(
        note or f"{term!r} is taken for {found[0]}.",
        event="meaning",
        word=term,
        numbers=list(found[0].numbers),
        note=note,
    )


def _tell_group(terminal: Terminal, table: Words, group: str) -> None:
    from renderer.dreaming.networks.classes import ranges

    numbers, others = table.groups[group], table.other_names.get(group, ())
    named = f"{group} ({', '.join(others)})" if others else group
    terminal.result(
        f"{named:<40} {len(numbers):>3} classes: {ranges(numbers)}",
        event="group",
        name=group,
        other_names=list(others),
        numbers=list(numbers),
    )


def _tell_class(terminal: Terminal, table: Words, number: int) -> None:
    from renderer.dreaming.networks.classes import imagenet_names

    name, others, groups = imagenet_names()[number], table.other_names.get(number, ()), table.groups_of(number)
    named = f"{name} ({', '.join(others)})" if others else name
    terminal.result(
        f"{number:>3} {named:<36} {', '.join(groups)}",
        event="class",
        number=number,
        name=name,
        other_names=list(others),
        groups=groups,
    )
