"""The workspace that assets sync, as a Dagster resource: one session for all steps of a run."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg
from pydantic import PrivateAttr

from assets.alive import alive
from assets.outcome import AlreadyTold
from pipeline.access import VARIABLE, exposed_tokens
from pipeline.errors import MustWait, SettingsError
from pipeline.reading.progress import Progress
from pipeline.settings import Settings, load_settings, local_settings
from pipeline.streams import Stream
from pipeline.syncing.session import Session, open_session
from warehouse import Lake, RapidlakeError

# A run holds a worker: one that must wait longer for the rate limit ends, and a sensor begins the next in time.
LONGEST_WAIT_SECONDS = 120.0


class WorkspaceResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # its type is that of a resource's value
    """The workspace and its lake.

    What is not given here is read from the environment and `rapidlake.toml`, as the command line does.
    """

    url: str | None = None
    token: str | None = None
    lake_folder: str | None = None

    _open: ExitStack = PrivateAttr(default_factory=ExitStack)
    _session: Session | None = PrivateAttr(default=None)
    _told: tuple[str, RapidlakeError] | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[WorkspaceResource]:
        """Keep what the steps of a run open, until the run ends; and let others see meanwhile that it lives."""
        with ExitStack() as run:
            if context.run and context.instance:
                run.enter_context(alive(context.instance, context.run.run_id))
            run.enter_context(self._open)
            yield self

    def settings(self) -> Settings:
        """All settings.

        Raises:
            SettingsError: one is missing or wrong.
        """
        settings = load_settings(url=self.url, token=self.token, lake=self.lake_folder)
        longest = LONGEST_WAIT_SECONDS if settings.longest_wait is None else settings.longest_wait
        return settings.model_copy(update={"longest_wait": longest})

    def leaves_out(self, stream: Stream) -> bool:
        """True if the settings leave the stream out; False where they are wrong, which `begin` tells."""
        try:
            return stream.name in self.settings().left_out
        except SettingsError:
            return False

    def session(self, progress: Progress | None = None) -> Session:
        """The run's session, opened when first asked for; `progress` hears of a server that does not answer then.

        Raises:
            RapidlakeError: server, token, workspace or lake do not let anything begin.
        """
        if self._session is None:
            for sentence in exposed_tokens():
                dg.get_dagster_logger().warning(sentence)
            self._session = self._open.enter_context(
                open_session(self.settings(), progress=progress, stop=threading.Event())
            )
        return self._session

    def begin(self, step: str, progress: Progress) -> tuple[Settings, Session]:
        """What a step of a run needs; what hinders it is met once, by the first step that asks.

        Raises:
            AlreadyTold: that step was another one.
            RapidlakeError: as `settings` and `session`.
        """
        if self._told and self._told[0] != step:
            teller, error = self._told
            if isinstance(error, MustWait):
                raise error
            raise AlreadyTold(f"Left out: {teller} has told why nothing can be begun.")
        self._told = None
        try:
            settings, session = self.settings(), self.session(progress)
        except RapidlakeError as error:
            self._told = step, error
            raise
        if session.loss.why:
            raise AlreadyTold(f"Left out: {session.loss.why}, as another step has told.")
        return settings, session

    @contextmanager
    def lake(self, *, threads: int | None = 1) -> Iterator[Lake]:
        """The lake for reading.

        Raises:
            LakeNotFound: there is none yet.
        """
        with Lake.open(local_settings(lake=self.lake_folder).lake, threads=threads, at_one_moment=True) as lake:
            yield lake


def workspace_from_environment() -> WorkspaceResource:
    """The resource of a deployment; a token in the environment stays there, and only its name is shown.

    One in a file or a keyring is read by each run.
    """
    return WorkspaceResource(token=dg.EnvVar(VARIABLE) if os.environ.get(VARIABLE) else None)
