"""Commands that need no server and no token: a demo, and a server to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 8000,
    data: Annotated[
        Path | None, typer.Option(help="Folder with <endpoint>.jsonl.gz files; generated if not given.")
    ] = None,
    messages: Annotated[int, typer.Option(min=0, help="Messages of the generated workspace.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Another number generates another workspace.")] = 1,
    text_bytes: Annotated[int, typer.Option(min=0, help="Length of the generated texts; 0 for natural ones.")] = 0,
    archives: Annotated[bool, typer.Option(help="Generate archives of older rows too.")] = True,
    faults: Annotated[str, typer.Option(help='Misbehave, e.g. "error=0.02,throttle=0.01,edits=18".')] = "",
    rate: Annotated[int, typer.Option(min=0, help="Requests per hour and scope; 0 for no limit.")] = 2500,
) -> None:
    """Serve a workspace on this machine that behaves like a real server, to try things on."""
    from pipeline.cli.demo import serve_sandbox

    serve_sandbox(
        port=port,
        data=data,
        messages=messages,
        seed=seed,
        text_bytes=text_bytes,
        archives=archives,
        faults=faults,
        rate=rate,
    )


def demo(
    messages: Annotated[int, typer.Option(min=100, help="Messages of the generated workspace.")] = 20_000,
    lake: Annotated[Path, typer.Option("--lake", help="Folder of the demo's lake.")] = Path("demo-lake"),
) -> None:
    """Copy a generated workspace into a lake, and ask it a few questions; needs no server and no token."""
    from pipeline.cli.demo import run_demo

    raise typer.Exit(0 if run_demo(lake, messages=messages) else 1)
