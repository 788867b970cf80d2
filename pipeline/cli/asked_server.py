"""The settings of commands that ask the server."""

from __future__ import annotations

from typing import Any

from pipeline.access import exposed_tokens
from pipeline.cli.answers.saying import warn
from pipeline.settings import Settings, load_settings


def settings_of_server(**given: Any) -> Settings:
    """As `load_settings`; says on standard error where others can read the token.

    Raises:
        SettingsError: one is missing or wrong.
    """
    settings = load_settings(**given)
    for sentence in exposed_tokens():
        warn(f"rapidlake: {sentence}")
    return settings
