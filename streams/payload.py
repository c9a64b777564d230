"""Bytes into parameters: query string, form, JSON, XML, CSV, multipart.

Senders often post one thing and claim another (curl's default type over JSON is the commonest), so the first character goes before the
content type. What is cut off is not patched up: half of `"amount": 1234` is a wrong amount, and an unreadable payload is a row that
somebody can act on. Reading never raises; it returns the parameters and, when there are none to be had, the cause.
"""

from collections.abc import Iterator
from email import policy
from email.parser import BytesParser
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring

from streams.csv_payload import is_csv, read_csv
from streams.json_payload import DEEPEST, LONGEST_NAME, MOST_FIELDS, clean, is_several, merged, read_json

KEPT_FIELDS = 512  # parameters that a row lists; the payload itself is always kept whole
_BOM8, _BOM16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


def read(value: bytes, content_type: str = "", method: str = "POST", query: str = "") -> tuple[dict[str, str], str | None]:
    """(parameters, why they cannot be read). Parameters of a POST's own query string fill what its body leaves empty."""
    cause = None
    if method == "GET":
        parameters = read_form(as_text(value))
    elif value[:1] == b"{" and not query:  # the hot path: nothing to sniff, nothing to add
        try:
            return read_json(value), None
        except ValueError as error:
            return {}, str(error)
    else:
        parameters, cause = _read_body(value, content_type)
        if cause is not None and is_several(cause):
            return {}, cause  # a query string beside them (a token, often) is no payload of its own
    for name, item in read_form(query).items() if query else ():
        if not parameters.get(name):
            parameters[name] = item
    return parameters, None if parameters else cause


def kept(parameters: dict[str, str]) -> dict[str, str]:
    """The parameters that a row lists, and how many there were when these are not all."""
    if len(parameters) <= KEPT_FIELDS:
        return parameters
    listed = dict(list(parameters.items())[:KEPT_FIELDS])
    return listed | {"(more)": f"{len(parameters)} parameters, the first {KEPT_FIELDS} are listed"}


def as_text(value: bytes, charset: str = "utf-8") -> str:
    """Bytes as text: UTF-8 (or what the sender claims), else Windows-1252, which takes any byte."""
    for encoding in (charset, "utf-8"):
        try:
            return clean(value.decode(encoding))
        except (UnicodeError, LookupError):
            continue
    return value.decode("cp1252", "replace")


def read_form(text: str) -> dict[str, str]:
    """Parameters of a query string or form body."""
    parts = text.removeprefix("?").strip("\r\n\0").split("&", MOST_FIELDS)[:MOST_FIELDS]
    if "%" in text or "+" in text:
        found = [(_unquoted(name), _unquoted(item)) for name, _, item in (part.partition("=") for part in parts)]
    else:
        found = [(name, item) for name, _, item in (part.partition("=") for part in parts)]
    parameters = dict(found)
    if len(parameters) < len(found):
        parameters = merged((name, item) for name, item in found if name)
    parameters.pop("", None)
    return parameters


def _unquoted(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return unquote(text, "cp1252", "replace")


def _read_body(value: bytes, claim: str) -> tuple[dict[str, str], str | None]:
    if value.startswith(_BOM16):
        value = value.decode("utf-16", "replace").encode()
    value = value.removeprefix(_BOM8).strip(b" \t\r\n\0")
    first = value[:1]
    try:
        if not value:
            return {}, None
        if first in (b"{", b"["):
            return read_json(value), None
        if first == b"<":
            return _read_xml(value), None
        if claim[:10].lower() == "multipart/":
            return _read_multipart(value, claim), None
        return _read_plain(value, claim), None
    except ValueError as error:
        return {}, str(error)


def _read_plain(value: bytes, claim: str) -> dict[str, str]:
    """A form, whatever it claims to be, but for a table. ValueError when it cannot be one."""
    if is_csv(claim):
        return read_csv(value, as_text)
    if b"=" not in value or value[:1] == b'"':
        raise ValueError(f"neither form nor JSON nor XML in {len(value)} bytes")
    claim = claim.lower()
    if "form" not in claim and b"\0" in value:
        raise ValueError(f"binary data of {len(value)} bytes")
    return read_form(as_text(value, claim.partition("charset=")[2].strip(' "') or "utf-8"))


def _read_xml(value: bytes) -> dict[str, str]:
    try:
        root = fromstring(value, forbid_dtd=True)
    except ParseError as error:
        raise ValueError(f"XML breaks at line {error.position[0]}, column {error.position[1]}") from error
    except (ValueError, LookupError) as error:  # a DTD, entities, an unknown encoding
        raise ValueError(f"XML refused: {type(error).__name__}") from error
    found = {name: clean(item) for name, item in merged(_leaves(root)).items()}
    if not found:
        raise ValueError("XML holds no values")
    return found


def _leaves(root: Element) -> Iterator[tuple[str, str]]:
    """(dotted path below the root, text) of elements and attributes, level by level, without namespaces."""
    level = [("", root)]
    count = 0
    for _ in range(DEEPEST):
        below: list[tuple[str, Element]] = []
        for prefix, node in level:
            texts = [(name, item) for name, item in node.attrib.items()]
            for child in node:
                path = f"{prefix}{_bare(child.tag)}"[:LONGEST_NAME]
                below.append((f"{path}.", child))
                if not len(child) or (child.text or "").strip():
                    yield path, (child.text or "").strip()
            yield from ((f"{prefix}{_bare(name)}"[:LONGEST_NAME], item) for name, item in texts)
            count += len(texts) + len(node)
            if count >= MOST_FIELDS:
                return
        level = below


def _bare(tag: object) -> str:
    return str(tag).rpartition("}")[2]


def _read_multipart(value: bytes, claim: str) -> dict[str, str]:
    try:
        message = BytesParser(policy=policy.HTTP).parsebytes(b"Content-Type: " + claim.encode("utf-8", "replace") + b"\r\n\r\n" + value)
        parts = [
            (str(part.get_param("name", "", "content-disposition")), part.get_filename(), part.get_payload(decode=True))
            for part in message.walk()
            if not part.is_multipart()
        ]
    except Exception as error:
        raise ValueError(f"multipart refused: {type(error).__name__}") from error
    found = merged((name, filename or as_text(item if isinstance(item, bytes) else b"")) for name, filename, item in parts if name)
    if not found:
        raise ValueError("multipart holds no fields")
    return {clean(name): clean(item) for name, item in found.items()}
