"""Where in a YAML text a setting stands: the problem names a path, the person who fixes it wants a line.

YAML is composed (not loaded) a second time for this, because only nodes know their lines, and only when there is a problem.
"""

import yaml

from schemas.workspace import SECTIONS


def line_of(text: str, place: str) -> str:
    """Return `:<line>` for a path like `sources.0.mapping` or `source shop.property_id`, as near as the text has it, else nothing."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return ""
    if node is None or not place:
        return ""
    entity, _, rest = place.partition(" ")
    path = rest.split(".") if rest and entity in SECTIONS else place.split(".")
    if rest and entity in SECTIONS:
        path = [SECTIONS[entity], *path]
    line = _walk(node, path)
    return f":{line}" if line else ""


def _walk(node: yaml.Node, path: list[str]) -> int:
    """Follow the path as far as it goes; a list takes an index, or the id of an item (ids may contain dots)."""
    line = 0
    while path:
        inner, used = _step(node, path)
        if inner is None:
            break
        node, path = inner, path[used:]
        line = node.start_mark.line + 1
    return line


def _step(node: yaml.Node, path: list[str]) -> tuple[yaml.Node | None, int]:
    """Return the node that the beginning of the path names and how many parts name it."""
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == path[0]), None), 1
    if isinstance(node, yaml.SequenceNode):
        if path[0].isdigit() and int(path[0]) < len(node.value):
            return node.value[int(path[0])], 1
        for used in range(len(path), 0, -1):
            wanted = ".".join(path[:used])
            for item in node.value:
                if isinstance(item, yaml.MappingNode) and any(k.value == "id" and v.value == wanted for k, v in item.value):
                    return item, used
    return None, 0
