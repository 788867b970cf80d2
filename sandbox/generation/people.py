"""The generated contacts: who they are, how they are reached, and their rows."""

import random
import uuid
from array import array
from collections.abc import Iterator
from typing import Any

from sandbox.generation import vocabulary
from sandbox.workspace import dates
from sandbox.workspace.rows import DELETED_CONTACTS, encode, record
from sandbox.workspace.store import Record

_DELETED_EVERY = 31  # one contact in so many has been deleted
_TIE = 660  # contacts that one transaction touched at one moment
_BATCH = 100


class Dice(random.Random):
    """A seeded source of numbers that also makes uuids."""

    def uuid(self) -> str:
        """Return a random uuid."""
        return str(uuid.UUID(int=self.getrandbits(128), version=4))


class People:
    """All contacts of a workspace, as the fragments of JSON that their messages and runs are made of.

    They are numbered in the order in which they registered. Deleted ones live on in archives only.
    """

    def __init__(self, count: int, since: int, until: int, channels: list[dict[str, Any]], dice: Dice) -> None:
        self.count = count
        self.created = array("q")
        self.last_seen = array("q", bytes(8 * count))
        self.languages = array("b")
        self.uuids: list[str] = []
        self.names: list[str | None] = []
        self.urns: list[str] = []
        self.fronts: list[str] = []  # `"contact":…,"urn":…,"channel":…` of a message
        self.waiting: dict[int, dict[str, Any]] = {}  # who is in a flow now
        refs = [encode({"uuid": channel["uuid"], "name": channel["name"]}) for channel in channels]
        early = count * 3 // 10  # registered in the half year before
        for number in range(count):
            progress = (number - early) / max(1, count - early)
            begin = (
                since + int(progress * (until - since)) if progress >= 0 else since + int(progress * 180 * dates.DAY)
            )
            self.created.append(begin + int(dice.random() * dates.DAY / 24))
            self._invent(number, refs, dice)

    def _invent(self, number: int, channels: list[str], dice: Dice) -> None:
        draw = dice.random() * 100
        self.languages.append(next(n for n, top in enumerate(vocabulary.LANGUAGE_WEIGHTS) if draw <= top))
        name: str | None = f"{dice.choice(vocabulary.FIRST_NAMES)} {dice.choice(vocabulary.LAST_NAMES)}"
        if draw < 6:
            name = None
        elif draw > 98:
            name = dice.choice(vocabulary.RARE_NAMES)
        kind = 0 if draw * 7 % 10 < 7 else 1 if draw * 7 % 10 < 9 else 2
        urn = (f"tel:+25078{number:07}", f"whatsapp:25079{number:07}", f"telegram:{100_000 + number}")[kind]
        shown = f"{urn}#user_{number}" if kind == 2 and number % 2 else urn
        self.uuids.append(dice.uuid())
        self.names.append(name)
        self.urns.append(urn)
        self.fronts.append(f'"contact":{self.ref(number)},"urn":"{shown}","channel":{channels[kind]}')

    def reference(self, number: int) -> dict[str, Any]:
        """Return the reference to a contact that other rows embed."""
        return {"uuid": self.uuids[number], "name": self.names[number]}

    def ref(self, number: int) -> str:
        """Return that reference as JSON."""
        return f'{{"uuid":"{self.uuids[number]}","name":{encode(self.names[number])}}}'

    def summary(self, number: int) -> str:
        """Return the contact as a run shows it."""
        urn = self.urns[number]
        path = urn.partition(":")[2]
        shown = f"0{path[4:7]} {path[7:10]} {path[10:]}" if urn.startswith("tel") else path
        return f'{self.ref(number)[:-1]},"urn":"{urn}","urn_display":"{shown}"}}'

    def is_deleted(self, number: int) -> bool:
        """True for contacts that the workspace has deleted since."""
        return number % _DELETED_EVERY == _DELETED_EVERY - 1

    def records(self, groups: list[dict[str, Any]], end: int, dice: Dice) -> Iterator[tuple[str, Record]]:
        """Yield the table and the record of every contact, and count the members of the groups."""
        tie_moment, tied = end - 2 * dates.DAY - 123_457, 0
        batch_moment, batched = end - 9 * dates.DAY, 0
        for number in range(self.count):
            row = self._row(number, groups, end, dice)
            if self.is_deleted(number):
                row.update(name=None, status=None, language=None, urns=[], groups=[], fields={}, flow=None)
                row.update(blocked=None, stopped=None, modified_on=dates.iso(end - dice.randrange(90 * dates.DAY)))
                yield DELETED_CONTACTS, record(DELETED_CONTACTS, row, number + 1)
                continue
            modified = max(self.last_seen[number], self.created[number]) + dice.randrange(3 * dates.SECOND)
            if number % 5 == 0 and modified < tie_moment and tied < min(_TIE, self.count // 6):
                modified, tied = tie_moment, tied + 1
            elif number % 7 == 0 and modified < batch_moment:
                modified, batched = batch_moment + batched // _BATCH * dates.SECOND, batched + 1
            row["modified_on"] = dates.iso(min(modified, end))
            for group in row["groups"]:
                next(each for each in groups if each["uuid"] == group["uuid"])["count"] += 1
            yield "contacts", record("contacts", row, number + 1)

    def _row(self, number: int, groups: list[dict[str, Any]], end: int, dice: Dice) -> dict[str, Any]:
        draw = dice.random()
        status = "blocked" if draw < 0.02 else "stopped" if draw < 0.05 else "archived" if draw < 0.06 else "active"
        seen = self.last_seen[number]
        members = [
            group for index, group in enumerate(groups) if (number * 7 + index * 3) % 11 < 3 and status == "active"
        ]
        urns = [self.urns[number]]
        if number % 9 == 0:
            urns.append(f"tel:+25073{number:07}")
        return {
            "uuid": self.uuids[number],
            "name": self.names[number],
            "status": status,
            "language": None if number % 13 == 0 else vocabulary.LANGUAGES[self.languages[number]],
            "urns": urns,
            "groups": [{"uuid": group["uuid"], "name": group["name"]} for group in members],
            "fields": _fields(number, self.created[number], end, dice),
            "flow": self.waiting.get(number) if status == "active" else None,
            "created_on": dates.iso(self.created[number]),
            "modified_on": dates.iso(self.created[number]),
            "last_seen_on": dates.iso(seen) if seen else None,
            "blocked": status == "blocked",
            "stopped": status == "stopped",
        }


def _fields(number: int, created: int, end: int, dice: Dice) -> dict[str, str | None]:
    province, districts = dice.choice(list(vocabulary.PLACES.items()))
    district, wards = dice.choice(list(districts.items()))
    path = f"{vocabulary.COUNTRY} > {province}"
    expecting = number % 3 == 0
    values: dict[str, str | None] = {
        "gender": "F" if number % 4 else dice.choice(("M", "Female", None)),
        "age": str(dice.randrange(16, 61)) if number % 10 else None,
        "expected_delivery": _local(end + dice.randrange(-120, 240) * dates.DAY) if expecting else None,
        "last_visit": _local(end - dice.randrange(1, 90) * dates.DAY) if expecting and number % 2 else None,
        "children": str(dice.randrange(0, 7)),
        "province": path,
        "district": f"{path} > {district}" if number % 8 else None,
        "ward": f"{path} > {district} > {dice.choice(wards)}" if number % 4 == 1 else None,
        "crop": dice.choice(vocabulary.CROPS) or None,
        "farm_size": f"{dice.randrange(1, 120) / 8:g}" if number % 2 else None,
        "health_facility": dice.choice(vocabulary.FACILITIES) or None,
        "phone_owner": "shared" if number % 6 == 0 else None,
        "registered_on": _local(created),
        "notes": dice.choice(vocabulary.THANKS) if number % 17 == 0 else None,
    }
    return {key: values[key] for key, _, _ in vocabulary.FIELDS}


def _local(micros: int) -> str:
    """Write a moment in the workspace's own time zone, two hours ahead of UTC, as contact fields have it."""
    return dates.iso(micros + 2 * 3600 * dates.SECOND).removesuffix("Z") + "+02:00"
