"""The written form of a filter: `doc_type = "adr" and year >= 2024 and not topics contains "draft"`.

    filter     = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" filter ")" | comparison
    comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
               | field [ "not" ] "in" "(" value { "," value } ")"
               | field [ "not" ] "between" value "and" value
               | field [ "not" ] ( "contains" | "prefix" ) value
               | field [ "not" ] "exists"
    field      = step { "." step }          step = name | text
    value      = text | number | date | "true" | "false"

Texts stand in double or single quotes, with `\\` before a quote or a backslash. Words like `and` are known in small and
capital letters. Offers `parse`; what the parts mean is in `conditions`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from recant.errors import UsageError
from recant.search.conditions import ATTRIBUTES, MAX_DEPTH, Condition, Either, Every, Negation, Value, compare, field

MAX_LENGTH = 20_000
KEYWORDS = {"and", "or", "not", "in", "between", "contains", "prefix", "exists", "true", "false"}
_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<date>\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?(?![\w.:+-]))
      | (?P<number>-?\d{1,40}(?:\.\d{1,40})?(?![\w.-]))
      | (?P<word>[^\W\d][\w-]*)
      | (?P<sign><=|>=|!=|=|<|>|\(|\)|,|\.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text; `kind` is text, date, number, word, sign or end."""

    kind: str
    text: str
    at: int
    """Where it begins, counted from 0."""

    @property
    def keyword(self) -> str:
        """The word it is known by, or its sign; empty for anything else."""
        known = self.text.lower() if self.kind == "word" else self.text if self.kind == "sign" else ""
        return known if self.kind == "sign" or known in KEYWORDS else ""


def parse(text: str) -> Condition:
    """The tree of a written filter. Raises UsageError that says where and why it isn't one (`position`, from 1 on)."""
    if len(text) > MAX_LENGTH:
        raise UsageError(f"The filter has {len(text):,} characters: {MAX_LENGTH:,} at most")
    return _Reader(text).read()


class _Reader:
    """One pass over the tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = list(self._tokens())
        self.next = 0
        self.depth = 0

    def read(self) -> Condition:
        found = self._any()
        if self._here.kind != "end":
            raise self._error('"and", "or", or the end')
        return found

    def _tokens(self) -> list[Token]:
        found, at = [], 0
        while at < len(self.text):
            if self.text[at].isspace():
                at += 1
                continue
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self._problem(at, self._unreadable(at))
            found.append(Token(match.lastgroup or "", match[0], at))
            at = match.end()
        return [*found, Token("end", "", at)]

    def _unreadable(self, at: int) -> str:
        if self.text[at] in "\"'":
            return "a text that doesn't end: the closing quote is missing"
        return f"{self.text[at]!r} can't stand here"

    @property
    def _here(self) -> Token:
        return self.tokens[self.next]

    def _take(self, *keywords: str) -> str:
        """The keyword here, if it is one of these; then it is passed."""
        keyword = self._here.keyword
        if keyword and keyword in keywords:
            self.next += 1
            return keyword
        return ""

    def _require(self, keyword: str) -> None:
        if not self._take(keyword):
            raise self._error(f'"{keyword}"')

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _one(self) -> Condition:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._problem(self._here.at, f"nested too deeply: {MAX_DEPTH} levels at most")
        try:
            if self._take("not"):
                return Negation(self._one())
            if self._take("("):
                inner = self._any()
                self._require(")")
                return inner
            return self._comparison()
        finally:
            self.depth -= 1

    def _comparison(self) -> Condition:
        begins = self._here.at
        path = self._path()
        negated = bool(self._take("not"))
        operator = self._operator(negated)
        values = self._values(operator)
        try:
            found = compare(field(path), operator, values)
        except UsageError as error:
            raise self._problem(begins, str(error)) from error
        return Negation(found) if negated else found

    def _path(self) -> list[str]:
        quoted = self._here.kind == "text"
        path = [self._step()]
        while self._take("."):
            path.append(self._step())
        return [ATTRIBUTES, *path] if quoted else path

    def _step(self) -> str:
        token = self._here
        if token.kind == "text":
            self.next += 1
            return _unquoted(token.text)
        if token.kind != "word" or token.keyword:
            raise self._error("a field's name" + (", or one in quotes" if token.kind == "word" else ""))
        self.next += 1
        return token.text

    def _operator(self, negated: bool) -> str:
        words = ("in", "between", "contains", "prefix", "exists")
        operator = self._take(*words, *(() if negated else ("=", "!=", "<", "<=", ">", ">=")))
        if not operator:
            raise self._error(
                ", ".join(words) if negated else f"a comparison (=, !=, <, <=, >, >=, {', '.join(words)})"
            )
        return operator

    def _values(self, operator: str) -> list[Value]:
        if operator == "exists":
            return []
        if operator == "in":
            return self._list()
        values = [self._value()]
        if operator == "between":
            self._require("and")
            values.append(self._value())
        return values

    def _list(self) -> list[Value]:
        self._require("(")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._require(")")
        return values

    def _value(self) -> Value:
        token = self._here
        if token.keyword in ("true", "false"):
            found: Value = token.keyword == "true"
        elif token.kind == "text":
            found = _unquoted(token.text)
        elif token.kind == "number":
            found = Decimal(token.text)
        elif token.kind == "date":
            found = token.text
        else:
            hint = f' (a text stands in quotes: "{token.text}")' if token.kind == "word" and not token.keyword else ""
            raise self._error(f"a value{hint}")
        self.next += 1
        return found

    def _error(self, expected: str) -> UsageError:
        token = self._here
        found = "it ends" if token.kind == "end" else f"there is {token.text}"
        return self._problem(token.at, f"expected {expected}, but {found}")

    def _problem(self, at: int, what: str) -> UsageError:
        shown = self.text[max(0, at - 40) : at + 20]
        marked = f"{shown[: min(at, 40)]}▸{shown[min(at, 40) :]}"
        return UsageError(f"The filter, at character {at + 1}: {what}: {marked}", position=at + 1, filter=self.text)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
