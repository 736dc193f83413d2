"""Topics in TREC's markup and in XML: `<top> <num> Number: 301 <title> …`, `<topic number="1"> <query>…</query>`.

TREC's topics are no XML: tags are not closed, and `&` and `<` may be in texts. So both are read by one tolerant
scanner, which checks that it has found as many topics as there are opening tags.
"""

import html
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from splade_anserini.formats.parsing.columns import column_key
from splade_anserini.formats.parsing.fields import checked_id
from splade_anserini.formats.parsing.lines import Location
from splade_anserini.formats.topic_fields import TEXT_NAMES, TopicRecord

_TOPIC_TAGS = ("top", "topic", "query", "question")
"""The elements that are topics; the first that a file has counts, as a <topic> may have a <query>."""
_ID_TAGS = ("num", "number", "qid", "id", "identifier", "topicid", "queryid")
_ID_ATTRIBUTES = ("number", "num", "id", "qid", "topicid", "queryid")
_TREC_TAGS = {
    *("num", "title", "desc", "narr", "head", "dom", "smry", "con", "fac", "nat", "def", "query"),
    *("querytime", "querytweettime"),
}
"""Tags that begin a field wherever they are; other tags without an end do at the start of a line only."""
_FIELDS_WITH_LANGUAGES = ("title", "desc", "narr", "description", "narrative")
_LABELS = {
    "title": "Topic|Title",
    "desc": "Description",
    "narr": "Narrative",
    "smry": "Summary",
    "con": r"Concepts?(?:\(s\))?",
    "dom": "Domain",
}
"""What TREC writes before the text of a field: `<desc> Description:`."""

_IGNORED = re.compile(r"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\])?\s*>", re.DOTALL)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)((?:\s[^<>]*)?/?)>")
_END_TAG = re.compile(r"</[A-Za-z][^<>]*>")
_ATTRIBUTE = re.compile(r"""([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'/>]+))""")
_ENTITY = re.compile(r"&#?\w+;")
_NUMBERED = re.compile(r"<(\d+)>\s*(.*)")
_EXPECTED = "TREC topics (<top> <num> … <title> … </top>), or XML with <topic> or <query> elements"


def markup_topics(lines: list[tuple[Location, str]]) -> Iterator[TopicRecord]:
    """Yield the topics in the lines of a file. Raises `RecordError` for one without an id or an end."""
    if all(_NUMBERED.match(line) for _, line in lines):
        # TREC Genomics 2006: <160>What is the role of …
        for location, line in lines:
            if match := _NUMBERED.match(line):
                yield TopicRecord(location, match[1], {"text": match[2]})
        return
    topics = list(_topics(_Markup(lines)))
    names = {name for topic in topics for name in topic.fields}
    query_name = None
    if not names.intersection(TEXT_NAMES):
        # What is outside of all elements, or the only element, as in TREC 4, leaves no choice.
        query_name = "" if "" in names else next(iter(names)) if len(names) == 1 else None
    for topic in topics:
        fields = {name: text for name, text in topic.fields.items() if name}
        if query_name is not None:
            fields = {"text": str(topic.fields.get(query_name, ""))} | fields
        yield topic._replace(fields=fields)


class _Markup:
    """The text of a file, and the lines that its positions are in."""

    def __init__(self, lines: list[tuple[Location, str]]) -> None:
        self._locations = [location for location, _ in lines]
        text = "\n".join(line for _, line in lines)
        # Line ends are kept, by which lines are counted.
        text = _IGNORED.sub(lambda match: "\n" * match[0].count("\n"), text)
        self.text = _CDATA.sub(lambda match: html.escape(match[1], quote=False), text)
        self._line_ends = [match.start() for match in re.finditer("\n", self.text)]

    def location(self, position: int) -> Location:
        """Return the location of the line that a position is in."""
        return self._locations[bisect_left(self._line_ends, position)]


class _Tag(NamedTuple):
    name: str
    is_end: bool
    start: int
    stop: int
    attributes: dict[str, str]


def _tags(text: str) -> Iterator[_Tag]:
    for match in _TAG.finditer(text):
        attributes = {
            column_key(name): html.unescape(double or single or bare)
            for name, double, single, bare in _ATTRIBUTE.findall(match[3])
        }
        name = column_key(match[2])
        yield _Tag(name, match[1] == "/", match.start(), match.end(), attributes)
        if match[3].endswith("/") and not match[1]:
            yield _Tag(name, True, match.end(), match.end(), {})


def _topics(markup: _Markup) -> Iterator[TopicRecord]:
    tags = list(_tags(markup.text))
    names = list(dict.fromkeys(tag.name for tag in tags if not tag.is_end))
    topic_tag = next((name for name in _TOPIC_TAGS if name in names), None)
    if topic_tag is None:
        problem = f"no topics among the elements {', '.join(names[:5])}" if names else "no elements"
        raise markup.location(0).error(problem, expected=_EXPECTED)
    borders = [index for index, tag in enumerate(tags) if tag.name == topic_tag]
    for begin, end in pairwise([*borders, len(tags)]):
        if tags[begin].is_end:
            continue
        location = markup.location(tags[begin].start)
        if end == len(tags) or not tags[end].is_end:
            raise location.error(f"the element <{topic_tag}> has no end", expected=f"</{topic_tag}> before the next")
        fields = _Fields(location)
        fields.read(markup.text, tags[begin + 1 : end], tags[begin].stop, tags[end].start)
        yield _record(fields.texts, tags[begin].attributes, topic_tag, location)


def _record(fields: dict[str, str], attributes: dict[str, str], topic_tag: str, location: Location) -> TopicRecord:
    id_ = next((fields[name] for name in _ID_TAGS if name in fields), None)
    if id_ is None:
        id_ = next((attributes[name] for name in _ID_ATTRIBUTES if name in attributes), None)
    if id_ is None:
        raise location.error(f"<{topic_tag}> has no id", expected="<num>, or an attribute number or id")
    number = re.fullmatch(r"\s*Number\s*:?\s*(.*?)\s*", id_, re.IGNORECASE | re.DOTALL)
    # The judgements of TREC's topics 051 to 100 call them 51 to 100.
    id_ = re.sub(r"^0+(?=\d+$)", "", number[1]) if number else id_.strip()
    texts = {name: text for name, text in fields.items() if name not in _ID_TAGS}
    if topic_tag == "top":
        texts = {name: _without_label(name, text) for name, text in texts.items()}
    texts = {name: " ".join(text.split()) for name, text in texts.items()}
    return TopicRecord(location, checked_id(id_, location), _without_languages(texts))


def _without_languages(texts: dict[str, str]) -> dict[str, str]:
    """Return the fields, those of CLEF that exist in one language only without it: <EN-title> is <title>."""
    names = Counter(name[2:] for name in texts if name[2:] in _FIELDS_WITH_LANGUAGES)
    return {name[2:] if names[name[2:]] == 1 and name[2:] not in texts else name: text for name, text in texts.items()}


class _Fields:
    """The texts of a topic by the names of their elements, and under "" what is in none."""

    def __init__(self, location: Location) -> None:
        self.texts: dict[str, str] = {}
        self._location = location

    def read(self, text: str, tags: list[_Tag], start: int, stop: int) -> None:
        """Add the fields between two positions: each to its end tag, or where it has none, to the next field."""
        name, begin, index = "", start, 0
        while index < len(tags):
            tag = tags[index]
            if _begins_field(tag, text):
                self._add(name, text[begin : tag.start])
                name, begin = column_key(tag.attributes.get("name", tag.name)), tag.stop
                end = _end(tags, index)
                if end is not None:
                    self._add(name, _without_pairs(text[begin : tags[end].start]))
                    name, begin, index = "", tags[end].stop, end
            index += 1
        self._add(name, text[begin:stop])

    def _add(self, name: str, text: str) -> None:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), _END_TAG.sub(" ", text))
        if not name and not text.strip():
            return
        if name in self.texts and name in (*_ID_TAGS, *TEXT_NAMES):
            raise self._location.error(
                f"a topic has two fields {name}", expected="each field once", do="Remove one of them."
            )
        self.texts[name] = f"{self.texts[name]} {text}" if name in self.texts else text


def _begins_field(tag: _Tag, text: str) -> bool:
    if tag.is_end:
        return False
    before = text[max(0, tag.start - 1000) : tag.start].rstrip(" \t")
    return tag.name in _TREC_TAGS or not before or before[-1] in "\n>"


def _end(tags: list[_Tag], position: int) -> int | None:
    """Return the position of a tag's end tag; None if another tag of its name begins before it, or it has none."""
    name = tags[position].name
    following = next((index for index in range(position + 1, len(tags)) if tags[index].name == name), None)
    return following if following is not None and tags[following].is_end else None


def _without_pairs(text: str) -> str:
    """Return the text of an element without the tags in it that come in pairs; `vector<int>` is text."""
    names = {match[2] for match in _TAG.finditer(text) if match[1] or match[3].endswith("/")}
    return _TAG.sub(lambda match: " " if match[2] in names else match[0], text)


def _without_label(name: str, text: str) -> str:
    label = _LABELS.get(name)
    return re.sub(rf"\A\s*(?:{label})\s*(?::|$|\n)", "", text) if label else text
