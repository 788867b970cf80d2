"""What stands around the conversations of the generated workspace: channels, groups, flows, tickets and more."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sandbox.generation import vocabulary
from sandbox.generation.people import Dice, People
from sandbox.workspace import dates
from sandbox.workspace.endpoints import Endpoint
from sandbox.workspace.rows import Row

_COUNTERS = ("active", "waiting", "completed", "expired", "interrupted", "failed")


def ref(row: Row) -> Row:
    """Return the reference to a row that other rows embed."""
    return {"uuid": row["uuid"], "name": row["name"]}


@dataclass
class Surroundings:
    """Invents rows; each method returns the list of one endpoint."""

    founded: int  # when the workspace was made
    end: int
    dice: Dice

    def ago(self, days: float) -> str:
        """Return a moment about so many days before the end."""
        return dates.iso(self.end - int((days + self.dice.random()) * dates.DAY))

    def named(self, names: Iterable[str]) -> list[Row]:
        """Return rows with nothing but a uuid and a name."""
        return [{"uuid": self.dice.uuid(), "name": name} for name in names]

    def workspace(self, seed: int) -> list[Row]:
        """The workspace itself; the same one for a seed at any time, so that a lake of it stays its lake."""
        unknown = {"used": -1, "remaining": -1}
        return [
            {
                "uuid": Dice(f"workspace {seed}").uuid(),
                "name": "Ubuzima & Ubuhinzi «Demo»",
                "country": "RW",
                "languages": ["eng", "kin", "swa", "fra"],
                "timezone": "Africa/Kigali",
                "date_style": "day_first",
                "anon": False,
                "credits": unknown,
                "primary_language": "eng",
            }
        ]

    def channels(self) -> list[Row]:
        """An Android phone, WhatsApp and Telegram."""
        device = {
            "name": 'Tecno "Spark" 20',
            "power_level": 87,
            "power_status": "CHA",
            "power_source": "AC",
            "network_type": "LTE",
        }
        known = (
            ("Android, Main", "+250788123123", "RW", device),
            ("WhatsApp ✅", "+250799000111", None, None),
            ("Telegram", "ubuzima_bot", None, None),
        )
        return [
            {
                "uuid": self.dice.uuid(),
                "name": name,
                "address": address,
                "country": country,
                "device": phone,
                "last_seen": dates.iso(self.end) if phone else None,
                "created_on": dates.iso(self.founded - index * dates.DAY),
            }
            for index, (name, address, country, phone) in enumerate(known)
        ]

    def groups(self) -> list[Row]:
        """Groups kept by hand and by query; contacts count themselves in later."""
        queries: dict[str, str | None] = {**vocabulary.SMART_GROUPS, **dict.fromkeys(vocabulary.MANUAL_GROUPS)}
        return [
            {"uuid": self.dice.uuid(), "name": name, "query": query, "status": "ready", "system": False, "count": 0}
            for name, query in queries.items()
        ]

    def flows(self) -> list[Row]:
        """The flows of the vocabulary; runs count themselves in later."""
        programme = self.named(["Health, core", "Farming"])
        return [
            {
                "uuid": self.dice.uuid(),
                "name": words.name,
                "type": words.kind,
                "archived": False,
                "labels": [programme[index % 2]] if index % 3 else [],
                "expires": words.expires,
                "runs": dict.fromkeys(_COUNTERS, 0),
                "results": [
                    {
                        "key": question.key,
                        "name": question.name,
                        "categories": [category for category, _ in question.answers],
                        "node_uuids": [self.dice.uuid()],
                    }
                    for question in words.questions
                ],
                "parent_refs": [],
                "created_on": dates.iso(self.founded + self.dice.randrange(30 * dates.DAY)),
                "modified_on": self.ago(self.dice.randrange(200)),
            }
            for index, words in enumerate(vocabulary.FLOWS)
        ]

    def flow_starts(self, flows: list[Row], groups: list[Row], begin: int) -> list[Row]:
        """Start one flow after the other, every five days."""
        rows = []
        for index, at in enumerate(range(begin + dates.DAY // 3, self.end - dates.DAY, 5 * dates.DAY)):
            params = {"source": "weekly", "round": index} if index % 4 == 0 else None
            rows.append(
                {
                    "id": index + 1,
                    "uuid": self.dice.uuid(),
                    "flow": ref(flows[index % len(flows)]),
                    "status": "complete",
                    "groups": [ref(groups[index % 3])],
                    "contacts": [],
                    "params": params,
                    "created_on": dates.iso(at),
                    "modified_on": dates.iso(at + self.dice.randrange(600 * dates.SECOND)),
                    "extra": params,
                    "restart_participants": index % 2 == 0,
                    "exclude_active": index % 3 == 0,
                }
            )
        return rows

    def campaigns(self, groups: list[Row]) -> list[Row]:
        """Two campaigns, each over a group."""
        names = ("Pregnancy Reminders", "Season «A»")
        return [
            {**campaign, "archived": False, "group": ref(groups[3 + index]), "created_on": self.ago(300 - index)}
            for index, campaign in enumerate(self.named(names))
        ]

    def campaign_events(self, campaigns: list[Row], flows: list[Row]) -> list[Row]:
        """Messages and flows, before and after a date of the contact."""
        rows = []
        for index in range(6):
            key, name = (
                ("expected_delivery", "Expected Delivery") if index % 2 == 0 else ("registered_on", "Registered On")
            )
            message = None
            if index % 3:
                message = {
                    "eng": "Hi @contact.name,\nyour visit is due 😀",
                    "kin": "Muraho @contact.name, mwibuke kwipimisha",
                }
            rows.append(
                {
                    "uuid": self.dice.uuid(),
                    "campaign": ref(campaigns[index % 2]),
                    "relative_to": {"key": key, "name": name, "label": name},
                    "offset": (index - 2) * 7,
                    "unit": ("days", "weeks", "hours", "minutes")[index % 4],
                    "delivery_hour": -1 if index % 2 else 9,
                    "flow": None if message else ref(flows[index % len(flows)]),
                    "message": message,
                    "created_on": self.ago(200 - index),
                }
            )
        return rows

    def fields(self) -> list[Row]:
        """The custom fields of contacts, in the order of creation, the newest first."""
        rows = []
        for index, (key, name, kind) in enumerate(vocabulary.FIELDS):
            old_kind = "numeric" if kind == "number" else kind
            usages = {"flows": index % 3, "groups": int(key in ("age", "last_visit")), "campaign_events": 0}
            row = {"key": key, "name": name, "type": kind, "featured": index < 4, "priority": index, "usages": usages}
            rows.append({**row, "agent_access": "view", "label": name, "value_type": old_kind})
        return rows[::-1]

    def boundaries(self) -> list[Row]:
        """The country, its provinces and their districts, by their numbers."""
        country: Row = {"osm_id": "171496", "name": vocabulary.COUNTRY}
        areas: list[tuple[Row, Row | None, int]] = [(country, None, 0)]
        for index, (province, districts) in enumerate(vocabulary.PLACES.items()):
            area: Row = {"osm_id": f"170{index + 1}283", "name": province}
            areas.append((area, country, 1))
            for number, district in enumerate(districts):
                areas.append(({"osm_id": f"W{index + 1}5.{number}", "name": district}, area, 2))
        return [
            {**area, "parent": parent, "level": level, "aliases": [], "geometry": None} for area, parent, level in areas
        ]

    def users(self) -> list[Row]:
        """The team, the latest to come first."""
        return [
            {
                "email": email,
                "first_name": first,
                "last_name": last,
                "role": role,
                "created_on": self.ago(400 + 30 * index),
            }
            for index, (email, first, last, role) in enumerate(reversed(vocabulary.USERS))
        ]

    def tickets(self, people: People, topics: list[Row], flows: list[Row], count: int) -> Iterator[Row]:
        """Yield conversations that people took over."""
        agents = [
            {"email": email, "name": f"{first} {last}".strip()} for email, first, last, _ in vocabulary.USERS[2:5]
        ]
        for index in range(count):
            opened = self.end - int(self.dice.random() ** 1.5 * 85 * dates.DAY)
            closed = min(self.end, opened + self.dice.randrange(3 * dates.DAY)) if index % 4 else None
            topics[index % len(topics)]["counts"]["closed" if closed else "open"] += 1
            yield {
                "uuid": self.dice.uuid(),
                "contact": people.reference(self._alive(people)),
                "status": "closed" if closed else "open",
                "topic": ref(topics[index % len(topics)]),
                "body": self.dice.choice(vocabulary.THANKS),
                "assignee": agents[index % 3] if index % 5 else None,
                "opened_on": dates.iso(opened),
                "opened_by": agents[0] if index % 7 == 0 else None,
                "opened_in": ref(flows[index % len(flows)]) if index % 2 else None,
                "modified_on": dates.iso(closed or opened),
                "closed_on": dates.iso(closed) if closed else None,
            }

    def topics(self) -> list[Row]:
        """What tickets are about; tickets count themselves in later."""
        return [
            {
                **row,
                "counts": {"open": 0, "closed": 0},
                "system": row["name"] == "General",
                "created_on": self.ago(200 + index),
            }
            for index, row in enumerate(self.named(vocabulary.TOPICS))
        ]

    def channel_events(self, people: People, channels: list[Row], count: int) -> Iterator[Row]:
        """Yield calls, first contacts and opt-outs."""
        kinds = ("call-in-missed", "new-conversation", "stop-contact", "call-in", "referral")
        for index in range(count):
            at = self.end - int((count - index - self.dice.random()) / count * 88 * dates.DAY)
            kind = kinds[index % len(kinds)]
            yield {
                "id": index + 1,
                "type": kind,
                "contact": people.reference(self._alive(people)),
                "channel": ref(channels[index % len(channels)]),
                "extra": {"duration": index % 300} if kind == "call-in" else None,
                "occurred_on": dates.iso(at - 2 * dates.SECOND),
                "created_on": dates.iso(at),
            }

    def resthook_events(self, people: People, flows: list[Row], count: int) -> Iterator[Row]:
        """Yield what was posted to subscribers within the two days that the server keeps."""
        for index in range(count):
            number = self._alive(people)
            contact = {**people.reference(number), "urn": people.urns[number]}
            data = {"contact": contact, "flow": ref(flows[0]), "results": {"age": {"value": str(16 + index % 40)}}}
            yield {
                "resthook": "new-report" if index % 2 else "mother-registered",
                "data": data,
                "created_on": dates.iso(self.end - int((count - index) / count * 47 * 3600 * dates.SECOND)),
            }

    def resthooks(self) -> list[Row]:
        """Two hooks."""
        names = ("mother-registered", "new-report")
        return [{"resthook": name, "modified_on": self.ago(50), "created_on": self.ago(100)} for name in names]

    def resthook_subscribers(self) -> list[Row]:
        """Who listens to the hooks."""
        urls = (("new-report", "https://example.org/hook?a=1&b=2"), ("mother-registered", "https://example.org/m"))
        return [
            {"id": index + 1, "resthook": hook, "target_url": url, "created_on": self.ago(49)}
            for index, (hook, url) in enumerate(urls)
        ]

    def templates(self, channel: Row) -> list[Row]:
        """A WhatsApp template in two languages."""
        words = (
            ("eng", "eng-US", 'Hello {{1}}, "friend"', "approved"),
            ("fra", "fra-FR", "Bonjour {{1}}\nça va ?", "pending"),
        )
        translations = [
            {
                "language": language,
                "locale": locale,
                "content": content,
                "namespace": "demo",
                "variable_count": 1,
                "status": status,
                "channel": ref(channel),
            }
            for language, locale, content, status in words
        ]
        [row] = self.named(["visit_reminder"])
        return [{**row, "translations": translations, "created_on": self.ago(150), "modified_on": self.ago(20)}]

    def globals(self) -> list[Row]:
        """Values that flows share."""
        return [
            {"key": key, "name": key.replace("_", " ").title(), "value": value, "modified_on": self.ago(60)}
            for key, value in vocabulary.GLOBALS.items()
        ]

    def examples(self, endpoint: Endpoint) -> list[Row]:
        """The rows that the endpoint declares as its examples."""
        return [
            {"uuid": self.dice.uuid(), **row, **{name: self.ago(row[name]) for name in row if name.endswith("_on")}}
            for row in endpoint.examples
        ]

    def _alive(self, people: People) -> int:
        number = int(self.dice.random() * people.count)
        return number - people.is_deleted(number)
