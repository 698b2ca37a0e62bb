"""A judged collection that is made where it is measured: from the code, documentation and translations that are installed.

Nothing is brought, nothing is judged by hand: what is taken out of a passage is what it is to be found by. It differs from one
installation to another, so numbers are compared within one run.

    summary      the first line of a function's docstring     the function without its docstring
    statement    the rest of the docstring, some sentences    the same
    question     "how do I" or "how can I", and the summary   the same
    typo         the summary with a slip in two of its words  the same
    identifier   the function's name, in one of its spellings every function of that name
    heading      the headings of a section of a README        the section's text without them
    sentence     the first sentence of a section              the rest of the section
    language     one text of an interface in 21 languages     what stands beside it, in the same language

Summaries share words with names in the code, which favours words; statements and sentences favour neither.
"""

from __future__ import annotations

import ast
import json
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np

LEAST_WORDS = 5
MOST_WORDS = 60
LONGEST_TEXT = 1_000
SHORTEST_TEXT = 120
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_HEADING = re.compile(r"^(#{1,4}) +(.+?) *#*$|^(?P<under>\S.*)\n(?P<line>[=\-~^\"'*+])(?P=line){3,} *$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])")
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|<[^>]+>|https?://\S+|\.\. \S+::.*|:\w+:(?=`)")


@dataclass(frozen=True)
class Passage:
    """One chunk to be found: its document, its headings and its text."""

    source: str
    title: str
    headers: tuple[str, ...]
    text: str

    @property
    def embedded(self) -> str:
        """What its vector is of, as chunks are embedded."""
        return f"{' > '.join(self.headers)}\n{self.text}" if self.headers else self.text

    @property
    def whole(self) -> str:
        """Title, headings and text in one."""
        return "\n".join((self.title, *self.headers, self.text))


@dataclass(frozen=True)
class Judged:
    """A query of one class, and the numbers of the passages that answer it."""

    kind: str
    text: str
    answers: frozenset[int]


@dataclass
class Collection:
    """Passages, and queries about them."""

    passages: list[Passage] = field(default_factory=list)
    queries: list[Judged] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)

    def add(self, passage: Passage, queries: Iterable[tuple[str, str]]) -> int:
        """A passage with the queries, each its kind and its text, that it alone answers; its number. Equal ones are one."""
        number = self._numbers.setdefault(passage.embedded, len(self.passages))
        if number == len(self.passages):
            self.passages.append(passage)
        self.queries += [Judged(kind, unsigned(text), frozenset((number,))) for kind, text in queries]
        return number


def unsigned(text: str) -> str:
    """Without quotation marks and minus signs before words, which a search would take as said of what is to be found."""
    return re.sub(r'"|(?<!\S)-+(?=\S)', "", text)


def judged_collection(seed: int, *, functions: int, sections: int, translations: int, queries: int) -> Collection:
    """So many passages of each sort, where there are so many, and at most `queries` queries of each class."""
    random = np.random.default_rng(seed)
    found = Collection()
    names: dict[str, set[int]] = {}
    for function in _sample(list(_functions()), functions, random):
        number = found.add(function.passage, function.queries(random))
        names.setdefault(function.name, set()).add(number)
    found.queries += [
        Judged("identifier", _spelled(name, random), frozenset(of)) for name, of in names.items() if "_" in name
    ]
    for section in _sample(list(_sections()), sections, random):
        found.add(section[0], section[1])
    for group in _sample(list(_translations(random)), translations, random):
        found.add(group[0], group[1])
    found.queries = _some_of_each(found.queries, queries, random)
    return found


def _sample(items: Sequence[Any], count: int, random: np.random.Generator) -> list[Any]:
    return [items[i] for i in np.sort(random.permutation(len(items))[:count])]


def _some_of_each(queries: Sequence[Judged], count: int, random: np.random.Generator) -> list[Judged]:
    kinds = sorted({query.kind for query in queries})
    return [one for kind in kinds for one in _sample([q for q in queries if q.kind == kind], count, random)]


@dataclass(frozen=True)
class _Function:
    name: str
    says: str
    passage: Passage

    def queries(self, random: np.random.Generator) -> list[tuple[str, str]]:
        summary, _, rest = self.says.partition("\n")
        how = ("How do I", "How can I")[int(random.integers(2))]
        plain = summary.rstrip(".")
        found = [
            ("summary", summary),
            ("question", f"{how} {plain[0].lower()}{plain[1:]}?"),
            ("typo", _with_slips(summary, random)),
        ]
        words = rest.split()[:MOST_WORDS]
        return found + ([("statement", " ".join(words))] if len(words) >= 3 * LEAST_WORDS else [])


def _functions() -> Iterator[_Function]:
    """Functions of the standard library whose docstring begins with a line of some words, and how they read without it."""
    folder = Path(sysconfig.get_path("stdlib"))
    left_out = {"test", "tests", "site-packages", "idlelib", "lib2to3"}
    for path in sorted(folder.glob("**/*.py")):
        if left_out & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            says = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
            if isinstance(node, ast.FunctionDef) and says and len(says.partition("\n")[0].split()) >= LEAST_WORDS:
                node.body = node.body[1:] or [ast.Pass()]
                module = path.relative_to(folder).as_posix()
                text = ast.unparse(node)[:LONGEST_TEXT]
                yield _Function(node.name, says, Passage(f"{module}#{node.lineno}", module, (node.name,), text))


def _spelled(name: str, random: np.random.Generator) -> str:
    """A name as somebody else may write it."""
    words = [word for word in name.split("_") if word]
    camel = "".join(word.capitalize() for word in words)
    return (name, " ".join(words), camel, f"{name}()")[int(random.integers(4))]


def _with_slips(text: str, random: np.random.Generator) -> str:
    """Two of the longer words with a letter left out, changed, added, or swapped with the next, but never the first."""
    words = text.split()
    long = [i for i, word in enumerate(words) if word.isalpha() and len(word) >= 5]
    for i in random.permutation(long)[:2].tolist() if long else []:
        words[i] = _slip(words[i], random)
    return " ".join(words)


def _slip(word: str, random: np.random.Generator) -> str:
    place, letter = int(random.integers(1, len(word) - 1)), LETTERS[int(random.integers(len(LETTERS)))]
    head, tail = word[:place], word[place:]
    return (head + tail[1:], head + letter + tail[1:], head + letter + tail, head + tail[1] + tail[0] + tail[2:])[
        int(random.integers(4))
    ]


def _sections() -> Iterator[tuple[Passage, list[tuple[str, str]]]]:
    """Sections of the distributions' descriptions, each without its headings or without its first sentence."""
    for distribution in sorted(distributions(), key=lambda found: str(found.metadata["Name"])):
        name = str(distribution.metadata["Name"])
        text = str(distribution.metadata.get_payload() or distribution.metadata.get("Description") or "")
        for number, (heading, body) in enumerate(_split(text)):
            source = f"{name}#{number}"
            sentences = _SENTENCE.split(body, maxsplit=1)
            if number % 2 and len(heading.split()) >= 2:
                yield Passage(source, name, (), body[:LONGEST_TEXT]), [("heading", f"{name} {heading}")]
            elif (
                len(sentences) == 2
                and LEAST_WORDS < len(sentences[0].split()) < MOST_WORDS
                and len(sentences[1]) > SHORTEST_TEXT
            ):
                yield Passage(source, name, (heading,), sentences[1][:LONGEST_TEXT]), [("sentence", sentences[0])]


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Headings with what stands under them, where that is long enough."""
    marks = list(_HEADING.finditer(text))
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        body = text[mark.end() : following.start() if following else len(text)]
        plain = " ".join(_MARKUP.sub(r"\1", body).split())
        if len(plain) >= SHORTEST_TEXT:
            yield " ".join(_MARKUP.sub(r"\1", mark[2] or mark["under"]).split()), plain


def _translations(random: np.random.Generator) -> Iterator[tuple[Passage, list[tuple[str, str]]]]:
    """Groups of texts of a translated interface: the longest text is what the others are to be found by."""
    root = Path(sysconfig.get_path("purelib"))
    for path in sorted(root.glob("airflow/ui/dist/i18n/locales/*/*.json")):
        try:
            entries = json.loads(path.read_text("utf-8"))
        except ValueError:
            continue
        for group, texts in _groups(entries, path.stem):
            longest = max(texts, key=len)
            others = [text for text in texts if text != longest]
            body = ". ".join(others)[:LONGEST_TEXT]
            if len(body) >= SHORTEST_TEXT // 2 and len(longest) >= 20:
                language = path.parent.name
                yield Passage(f"{language}/{group}", language, (), body), [("language", longest)]


def _groups(entries: Mapping[str, Any], name: str) -> Iterator[tuple[str, list[str]]]:
    own = [re.sub(r"\{\{.*?\}\}", "", text) for text in entries.values() if isinstance(text, str)]
    if len(own) >= 3:
        yield name, own
    for key, value in entries.items():
        if isinstance(value, dict):
            yield from _groups(value, f"{name}.{key}")
