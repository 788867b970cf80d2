"""Words of others are told in one place, `warehouse.declared`: no other code puts an error's own text into a text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FILES = sorted(one for house in ("assets", "pipeline", "warehouse") for one in (PROJECT / house).rglob("*.py"))
TREES = {str(file.relative_to(PROJECT)): ast.parse(file.read_text("utf-8")) for file in FILES}
# Errors whose texts are ours.
OURS = {node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
# Texts of others that are only looked at, or hold nothing but what the user has typed; each with the reason.
LOOKED_AT = {
    "warehouse/lake/attaching.py": "to see whether it is about text that is none",
    "warehouse/lake/retype.py": "to see whether it is a refusal",
    "warehouse/lake/schema.py": "to see whether a table is missing",
    "warehouse/asking/excel.py": "the error of the system that it was made of",
    "warehouse/asking/guard.py": "what DuckDB's parser says of a user's own SQL",
    "warehouse/parsing/unreadable.py": "what Python's reader of JSON calls a fault, in one of a dozen phrases",
    "warehouse/publishing/catalog_copy.py": "for the process that began it, which looks at it",
    "pipeline/settings.py": "what is wrong with the user's own settings",
    "pipeline/access.py": "what is wrong with the user's own settings",
    "pipeline/cli/shell.py": "to see whether it is an interrupt",
    "pipeline/cli/demo.py": "what is wrong with --faults, in the sandbox's own words",
}


def caught(tree: ast.AST) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """The handlers of errors that are not ours, each with the name that it gives to the error."""
    for handler in ast.walk(tree):
        if isinstance(handler, ast.ExceptHandler) and handler.name and handler.type:
            kinds = [kind for kind in ast.walk(handler.type) if isinstance(kind, ast.Name | ast.Attribute)]
            names = {kind.attr if isinstance(kind, ast.Attribute) else kind.id for kind in kinds}
            if not names <= OURS:
                yield handler.name, handler


def told(name: str, handler: ast.ExceptHandler) -> Iterator[ast.AST]:
    """Where a handler makes text of an error, or hands it on as the cause of another."""
    for node in ast.walk(handler):
        match node:
            case ast.FormattedValue(value=ast.Name(id=found)) if found == name:
                yield node
            case ast.Call(func=ast.Name(id="str" | "repr" | "format"), args=[ast.Name(id=found), *_]) if found == name:
                yield node
            case ast.Attribute(value=ast.Name(id=found), attr="args" | "strerror" | "msg") if found == name:
                yield node
            case ast.Raise(cause=ast.Name(id=found)) if found == name:
                yield node


def told_in(place: str) -> list[str]:
    return [ast.unparse(node) for name, handler in caught(TREES[place]) for node in told(name, handler)]


@pytest.mark.parametrize("place", sorted(TREES.keys() - LOOKED_AT.keys()))
def test_no_text_of_somebody_elses_error_becomes_a_part_of_ours(place: str) -> None:
    assert told_in(place) == []


def test_the_places_that_look_at_such_texts_are_those_that_do() -> None:
    assert [place for place in LOOKED_AT if not told_in(place)] == []
