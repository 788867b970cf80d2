"""Commands that answer questions: SQL, files, a report, a dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.options import JsonOption, LakeOption, UrlOption

RawOption = Annotated[
    bool, typer.Option("--raw", help="In CSV, leave text as it is that a spreadsheet would run, such as =1+1.")
]


def sql(
    query: Annotated[
        str, typer.Argument(metavar="SQL", help='For example "SELECT status, count(*) FROM messages GROUP BY ALL".')
    ],
    kind: Annotated[
        Literal["table", "csv", "json", "parquet", "xlsx"] | None,
        typer.Option("--format", help="Default: table, or what the name of the file says."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write to this file.")] = None,
    raw: RawOption = False,
    unguarded: Annotated[
        bool, typer.Option("--unguarded", help="Let the SQL do all that DuckDB can, to files of yours too.")
    ] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the lake a question in SQL (DuckDB's), which reads it and nothing else; safe while a sync runs."""
    from pipeline.cli.answers.saying import warn
    from pipeline.cli.answers.sql_answers import answer
    from pipeline.settings import lake_path
    from warehouse import Lake
    from warehouse.asking.analysis import UNGUARDED

    if unguarded:
        warn(UNGUARDED)
    with Lake.open(lake_path(lake), threads=None, guarded=not unguarded, at_one_moment=True) as opened:
        answer(opened, query, kind="json" if json else kind, output=output, raw=raw)


def shell(
    unguarded: Annotated[
        bool, typer.Option("--unguarded", help="DuckDB's own prompt, which can do all to files of yours too.")
    ] = False,
    lake: LakeOption = None,
    url: UrlOption = None,
) -> None:
    """Ask the lake one question after the other, with history and completion; safe while a sync runs."""
    from pipeline.cli.shell import run_prompt, run_shell
    from pipeline.settings import lake_path

    (run_shell if unguarded else run_prompt)(lake_path(lake))


def export(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="TABLE", help="Only these tables and views; all by default.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="Folder to write into; an earlier export there is replaced.")] = Path(
        "export"
    ),
    kind: Annotated[Literal["parquet", "csv"], typer.Option("--format", help="What to write.")] = "parquet",
    raw: RawOption = False,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Write tables and views into a folder, for Spark, Athena, BigQuery, R or a spreadsheet; safe while a sync runs."""
    from pipeline.cli.answers.endings import print_export
    from pipeline.settings import lake_path
    from warehouse import Lake
    from warehouse.asking.export import export as run

    with Lake.open(lake_path(lake), threads=None, guarded=False, at_one_moment=True) as opened:
        print_export(run(opened, to, kind=kind, names=tables or [], raw=raw), to, json=json)


def report(
    output: Annotated[Path, typer.Option("-o", "--output", help="Write to this file.")] = Path("report.html"),
    lake: LakeOption = None,
    url: UrlOption = None,
) -> None:
    """Make one page that shows how the workspace is doing, and whether the data is whole; it needs no network."""
    from pipeline.report import write_report
    from pipeline.settings import local_settings
    from warehouse import Lake

    settings = local_settings(lake=lake)
    with Lake.open(settings.lake, threads=None, at_one_moment=True) as opened:
        write_report(opened, output, left_out=settings.left_out)
    print(f"Written: {output}")


def dictionary(
    output: Annotated[
        list[Path] | None,
        typer.Option("-o", "--output", help="Write to this file, .md or .html; may be repeated.", show_default="both"),
    ] = None,
    lake: LakeOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Describe every table, column, flow and field of the lake, with meaning, fill rate and made-up examples."""
    from dataclasses import asdict
    from json import dumps

    from pipeline.dictionary import write_dictionary
    from pipeline.settings import lake_path
    from warehouse import Lake
    from warehouse.asking.dictionary import read_dictionary

    outputs = output or [Path("dictionary.md"), Path("dictionary.html")]
    with Lake.open(lake_path(lake), threads=None, at_one_moment=True) as opened:
        found = read_dictionary(opened)
    if json:
        print(dumps(asdict(found), indent=2))
        return
    write_dictionary(found, outputs)
    print("Written: " + ", ".join(map(str, outputs)))
