"""Where generated rows wait until their archive is written."""

from sandbox.workspace import dates
from sandbox.workspace.archive_files import put_archive
from sandbox.workspace.contents import Workspace


class Shelf:
    """Collects archive lines by day and writes them out month by month, so that memory holds one month at most."""

    def __init__(self, workspace: Workspace, first_day: int) -> None:
        self.workspace = workspace
        self._next = first_day  # the first day that is in no archive yet
        self._lines: dict[tuple[str, int], list[tuple[int, int, bytes]]] = {}

    def add(self, archive_type: str, moment: int, number: int, line: str) -> None:
        """Put a line on the shelf of its day; archives are sorted by moment and number."""
        self._lines.setdefault((archive_type, moment // dates.DAY), []).append((moment, number, line.encode()))

    def archive(self, until: int) -> None:
        """Archive all days before `until` that are not yet: in one file when a month ends there, else one a day.

        A monthly file may begin later than its month: with the first day of the workspace.
        """
        begin, end = self._next, until // dates.DAY
        if end <= begin:
            return
        self._next = end
        for archive_type in ("message", "run"):
            pieces = {date_of(day): sorted(self._lines.pop((archive_type, day), [])) for day in range(begin, end)}
            if date_of(end).endswith("-01"):
                lines = (line for piece in pieces.values() for _, _, line in piece)
                put_archive(self.workspace, archive_type, "monthly", f"{date_of(begin)[:7]}-01", lines)
                continue
            for date, piece in pieces.items():
                put_archive(self.workspace, archive_type, "daily", date, (line for _, _, line in piece))


def date_of(day: int) -> str:
    """Write a day, counted from the epoch, as a date."""
    return dates.from_micros(day * dates.DAY).strftime("%Y-%m-%d")
