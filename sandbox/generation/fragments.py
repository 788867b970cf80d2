"""The fragments of JSON that generated messages and runs are put together from."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.generation import vocabulary
from sandbox.workspace import dates
from sandbox.workspace.rows import encode


class Stamps:
    """Formats timestamps fast: days repeat."""

    def __init__(self) -> None:
        self._days: dict[int, str] = {}

    def full(self, micros: int) -> str:
        """Write a timestamp with six digits of fraction, without a zone."""
        seconds, fraction = divmod(micros, dates.SECOND)
        day, rest = divmod(seconds, 86_400)
        prefix = self._days.get(day) or self._days.setdefault(
            day, dates.from_micros(day * dates.DAY).strftime("%Y-%m-%dT")
        )
        return f"{prefix}{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{fraction:06}"

    def iso(self, micros: int) -> str:
        """Write a timestamp as rows have it: no fraction where it is zero."""
        text = self.full(micros)
        return (text if micros % dates.SECOND else text[:-7]) + "Z"


@dataclass
class Question:
    """A question of a flow, ready to be pasted into rows."""

    node: str
    texts: list[str]  # JSON, by language
    answers: list[tuple[str, str, str]]  # JSON: the message's text, the run's value, the category
    head: str  # `"key":{"value":`
    name: str  # JSON


@dataclass
class Flow:
    """A flow, ready to be pasted into rows."""

    row: dict[str, Any]
    ref: str
    questions: list[Question]
    expires: int
    starts: list[str] = field(default_factory=list)  # uuids of its flow starts so far


def as_json(words: str, size: int) -> str:
    """Return a text as JSON, stretched to about `size` bytes."""
    return encode(stretched(words, size))


def stretched(words: str, size: int) -> str:
    """Repeat a text until it has about `size` bytes in JSON."""
    missing = size - len(encode(words).encode())
    return words if missing <= 0 else words + ("  " + words) * (missing // (len(encode(words).encode())) + 1)


def build_flow(row: dict[str, Any], words: vocabulary.FlowWords, text_bytes: int) -> Flow:
    """Prepare a flow for the simulation."""
    questions = []
    for result, asked in zip(row["results"], words.questions, strict=True):
        answers = [
            (as_json(answer, text_bytes), encode(answer), encode(category))
            for index, (category, pool) in enumerate(asked.answers)
            for answer in pool * (3 if index < len(asked.answers) - 1 else 1)
        ]
        texts = [as_json(text, text_bytes) for text in asked.texts]
        questions.append(
            Question(result["node_uuids"][0], texts, answers, f'{encode(asked.key)}:{{"value":', encode(asked.name))
        )
    reference = encode({"uuid": row["uuid"], "name": row["name"]})
    return Flow(row, reference, questions, words.expires)
