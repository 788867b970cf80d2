"""Dagster's processes killed in mid-run, as on a server: runs that died are found, others left alone, syncs go on."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from sandbox import Faults, Sandbox, generate
from tests.lakes import assert_holds
from tests.processes import Process, ended_afterwards, start

ROOT = Path(__file__).parents[1]
LONGEST_WAIT = 400.0
LIVE = ("contacts", "messages", "runs", "tickets")
Status = dg.DagsterRunStatus
# Asked again every two seconds until the script is over: its run is under way for so long.
HELD_UP = Faults(script={"runs": ["throttle"] * 9999}, throttle_seconds=2)


@dataclass
class Server:
    """The code server and the daemon of deploy/, with folders of their own."""

    sandbox: Sandbox
    folder: Path
    instance: dg.DagsterInstance
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    def start(self, name: str) -> None:
        """Start the one or the other, as deploy/systemd does."""
        socket = f"{self.folder}/code.sock"
        words = {
            "code": [
                *("code-server", "start", "--socket", socket, "--location-name", "rapidlake"),
                *("--module-name", "assets.definitions", "--log-level", "warning"),
            ],
            "daemon": ["run", "--workspace", f"{self.folder}/workspace.yaml", "--log-level", "warning"],
        }[name]
        module = "dagster" if name == "code" else "dagster._daemon"
        environment = os.environ | {
            "DAGSTER_HOME": str(self.folder / "home"),
            "RAPIDPRO_URL": self.sandbox.url,
            "RAPIDPRO_TOKEN": self.sandbox.token,
            "RAPIDLAKE_LAKE": str(self.lake),
            "RAPIDLAKE_CACHE": str(self.folder / "cache"),
            "RAPIDLAKE_REQUESTS_PER_HOUR": "0",
            "RAPIDLAKE_LIVE_MINUTES": "1",
            "RAPIDLAKE_LAG": "0",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = start(
                [sys.executable, "-m", module, *words], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """As the memory killer does; with the code server its runs die too, which are its children."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)

    def runs(self, job: str, *statuses: Status) -> list[dg.DagsterRun]:
        return list(self.instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(statuses))))

    def grow_old(self, run: dg.DagsterRun) -> None:
        """Let a run have been started five minutes ago."""
        with self.instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # of SQLite's storage
            connection.exec_driver_sql("UPDATE runs SET start_time = start_time - 300 WHERE run_id = ?", (run.run_id,))

    def wait(self, what: str, ask: Callable[[], object]) -> None:
        until = time.monotonic() + LONGEST_WAIT
        while not ask():
            if time.monotonic() > until:
                said = [(self.folder / f"{name}.log").read_text(errors="replace")[-3000:] for name in self.processes]
                pytest.fail("\n".join([f"Waited {LONGEST_WAIT:.0f} s for {what}.", *said]), pytrace=False)
            time.sleep(0.5)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(ROOT / "deploy" / "dagster.yaml", home)
    (tmp_path / "workspace.yaml").write_text(
        f"load_from:\n  - grpc_server: {{socket: {tmp_path}/code.sock, location_name: rapidlake}}\n", encoding="utf-8"
    )
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with (
        generate(messages=300, contacts=60, seed=3, archives=False) as workspace,
        Sandbox(workspace, requests_per_hour=0, faults=HELD_UP) as sandbox,
        dg.DagsterInstance.from_config(str(home)) as instance,
        ended_afterwards(),
    ):
        yield Server(sandbox, tmp_path, instance)


def test_a_killed_code_server_or_daemon_stops_no_sync_for_good(server: Server) -> None:
    server.start("code")
    server.wait("the code server", lambda: (server.folder / "code.sock").exists())
    server.start("daemon")
    server.wait("the rest of the first sync", lambda: server.runs("hourly_sync", Status.SUCCESS))
    server.wait("a run in the middle", lambda: asked_for_runs(server) and server.runs("live_sync", Status.STARTED))
    (died,) = server.runs("live_sync", Status.STARTED)

    server.kill("code")
    (server.folder / "code.sock").unlink(missing_ok=True)
    server.grow_old(died)
    server.sandbox.requests.clear()
    server.start("code")
    server.wait("the report of its death", lambda: server.runs("live_sync", Status.FAILURE))
    assert [run.run_id for run in server.runs("live_sync", Status.FAILURE)] == [died.run_id]
    server.wait("the next run", lambda: asked_for_runs(server) and server.runs("live_sync", Status.STARTED))
    messages = [seen.params.get("after") for seen in server.sandbox.requests if seen.endpoint == "messages"]
    assert messages and all(messages), "what the dead run had committed is read again"

    (living,) = server.runs("live_sync", Status.STARTED)
    server.kill("daemon")
    server.grow_old(living)
    server.start("daemon")
    looked = len(ticks(server))
    server.wait("a look at it", lambda: len(ticks(server)) > looked)
    assert server.runs("live_sync", Status.STARTED) == [living]
    server.sandbox.faults = Faults()
    server.wait("its end", lambda: server.runs("live_sync", Status.SUCCESS))
    assert living.run_id in {run.run_id for run in server.runs("live_sync", Status.SUCCESS)}
    assert_holds(server.lake, server.sandbox.workspace, *LIVE)


def asked_for_runs(server: Server) -> bool:
    """True if the step before the one that is held up has ended."""
    return any(seen.endpoint == "runs" for seen in server.sandbox.requests)


def ticks(server: Server) -> list[object]:
    """The ticks of the sensor that looks for dead runs, which have ended."""
    (state,) = [one for one in server.instance.all_instigator_state() if one.name == "dead_runs"] or [None]
    if state is None:
        return []
    found = server.instance.get_ticks(state.instigator_origin_id, state.selector_id)
    return [tick for tick in found if tick.is_completed]
