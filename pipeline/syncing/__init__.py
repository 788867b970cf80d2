"""The doors for the command line and for Dagster: a session, and what brings streams up to date."""
