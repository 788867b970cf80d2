"""What goes wrong with archive files, and how it is mended: the list and the file, together or each for itself."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from sandbox import Workspace, put_archive_bytes
from sandbox.workspace.archive_files import file_name, find_file
from sandbox.workspace.rows import key_of
from tests.truth import Row

KINDS = (
    "truncated", "garbage", "flipped", "gone", "wrong hash", "wrong count", "wrong size", "no address", "broken",
)  # fmt: skip


@dataclass
class Damages:
    """Damages archive files of a workspace, and mends them."""

    workspace: Workspace
    sound: dict[str, tuple[Row, bytes]] = field(default_factory=dict)  # by key: what was damaged, as it was

    def candidates(self) -> list[Row]:
        """The archives that have a file, and are sound."""
        listed = self.workspace.rows("archives")
        return [row for row in listed if row["record_count"] and key_of("archives", row) not in self.sound]

    def damage(self, row: Row, kind: str, dice: random.Random) -> None:
        """Damage the file of an archive, or what the list says of it."""
        name = file_name(row)
        path = find_file(self.workspace, name) if name else None
        assert path is not None
        content = path.read_bytes()
        self.sound[key_of("archives", row)] = row, content
        middle = len(content) // 2
        if kind == "truncated":
            path.write_bytes(content[:middle])
        elif kind == "garbage":
            path.write_bytes(dice.randbytes(len(content)))
        elif kind == "flipped":
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :])
        elif kind == "gone":
            path.unlink()
        elif kind == "wrong hash":
            other = row | {"hash": f"{dice.getrandbits(128):032x}"}
            path.with_name(str(file_name(other))).write_bytes(content)
            self.workspace.put("archives", other)
        elif kind == "wrong count":
            self.workspace.put("archives", row | {"record_count": row["record_count"] + dice.choice((-1, 1))})
        elif kind == "wrong size":
            self.workspace.put("archives", row | {"size": row["size"] + dice.choice((-1, 1))})
        elif kind == "no address":
            self.workspace.put("archives", row | {"hash": "", "download_url": ""})
        else:  # the server's own file, as it lists it, cannot be unpacked
            self._put(row, content[: len(content) - dice.randrange(9, 30)])

    def mend(self, key: str) -> None:
        """Bring an archive back as it was."""
        row, content = self.sound.pop(key)
        self._put(row, content)

    def _put(self, row: Row, content: bytes) -> None:
        put_archive_bytes(
            self.workspace,
            row["archive_type"],
            row["period"],
            row["start_date"],
            content,
            record_count=row["record_count"],
        )
