"""Rules from JSON over a preset's: whatever is wrong is named by JSON pointer."""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from analysis.objects.properties import LATE, describe, property_names
from analysis.rules.parameters import (
    Clean,
    Duplicates,
    Edge,
    Filter,
    Groups,
    Monodisperse,
    Nesting,
    Parts,
    Rules,
)
from analysis.rules.presets import DEFAULT, PRESETS
from segmentation.errors import InvalidRequest

MAX_FILTERS = 64
MAX_GROUPS = 32
MAX_NAME = 64

RULE_NAMES = ("background", "clean", "edge", "parts", "duplicates", "filters", "nesting", "groups", "monodisperse")
"""In the order in which they are applied."""


def resolve_rules(preset: str | None = None, values: Mapping[str, Any] | None = None) -> Rules:
    """A preset's rules, with a request's own in their places, rule by rule. None as a rule's value leaves it out.

    Args:
        preset: a name of `PRESETS`; None is the default, `objects`.
        values: by the names of `RULE_NAMES`, as they stand in a request.

    Raises:
        InvalidRequest: an unknown preset, rule, field or property, or a value that can't be.
    """
    name = DEFAULT if preset is None else preset
    if name not in PRESETS:
        raise InvalidRequest(f"unknown preset; there are {describe(PRESETS)}", "/preset")
    rules = PRESETS[name].rules
    read = {rule: _read_rule(rule, value) for rule, value in (values or {}).items()}
    rules = rules.with_values(read)
    _check_groups_of_filters(rules)
    return rules


def _read_rule(rule: str, value: Any) -> Any:
    pointer = f"/{rule}"
    if rule not in RULE_NAMES:
        raise InvalidRequest(f"unknown rule; there are {describe(RULE_NAMES)}", pointer)
    if value is None:
        return {"background": "keep", "filters": ()}.get(rule)
    match rule:
        case "background":
            return _choice(value, ("drop", "keep"), pointer)
        case "clean":
            fields = _fields(value, ("holes", "islands"), pointer)
            return Clean(*(_number(fields.get(name, 0), f"{pointer}/{name}", low=0) for name in ("holes", "islands")))
        case "edge":
            fields = _fields(value, ("margin", "action"), pointer)
            margin = _number(fields.get("margin", 0), f"{pointer}/margin", low=0)
            return Edge(margin, _choice(fields.get("action", "drop"), ("drop", "mark"), f"{pointer}/action"))
        case "parts":
            fields = _fields(value, ("max_distance",), pointer, needed=("max_distance",))
            return Parts(_number(fields["max_distance"], f"{pointer}/max_distance", low=0))
        case "duplicates":
            fields = _fields(value, ("measure", "threshold", "keep"), pointer)
            return Duplicates(
                _choice(fields.get("measure", "iou"), ("iou", "overlap"), f"{pointer}/measure"),
                _number(fields.get("threshold", 0.8), f"{pointer}/threshold", low=0, high=1),
                _choice(fields.get("keep", "larger"), ("larger", "smaller", "score"), f"{pointer}/keep"),
            )
        case "filters":
            filters = _list(value, pointer, MAX_FILTERS)
            return tuple(_filter(one, f"{pointer}/{index}") for index, one in enumerate(filters))
        case "nesting":
            fields = _fields(value, ("threshold",), pointer)
            threshold = _number(fields.get("threshold", 0.9), f"{pointer}/threshold", low=0, high=1)
            if threshold <= 0:
                raise InvalidRequest("threshold must be above 0", f"{pointer}/threshold")
            return Nesting(threshold)
        case "groups":
            return _groups(value, pointer)
    fields = _fields(value, ("max_ratio",), pointer)
    ratios = _list(fields.get("max_ratio", [1.3, 1.2]), f"{pointer}/max_ratio", MAX_FILTERS)
    return Monodisperse(
        tuple(_number(ratio, f"{pointer}/max_ratio/{index}", low=1) for index, ratio in enumerate(ratios))
    )


def _filter(value: Any, pointer: str) -> Filter:
    fields = _fields(value, ("property", "min", "max", "group"), pointer, needed=("property",))
    low, high = (
        None if fields.get(name) is None else _number(fields[name], f"{pointer}/{name}") for name in ("min", "max")
    )
    if low is None and high is None:
        raise InvalidRequest("a filter needs min, max or both", pointer)
    if low is not None and high is not None and low > high:
        raise InvalidRequest("min is above max", f"{pointer}/min")
    group = fields.get("group")
    if group is not None:
        group = _name(group, f"{pointer}/group")
    return Filter(_property(fields["property"], f"{pointer}/property"), low, high, group)


def _groups(value: Any, pointer: str) -> Groups:
    fields = _fields(value, ("by", "method", "count", "thresholds", "names"), pointer)
    methods = ("kmeans", "otsu", "thresholds", "quantiles")
    method = _choice(fields.get("method", "kmeans"), methods, f"{pointer}/method")
    by = _list(fields.get("by", ["equivalent_diameter"]), f"{pointer}/by", 16)
    if not by:
        raise InvalidRequest("by needs at least one property", f"{pointer}/by")
    if method != "kmeans" and len(by) > 1:
        raise InvalidRequest(f"{method} takes one property", f"{pointer}/by")
    properties = tuple(_property(one, f"{pointer}/by/{index}") for index, one in enumerate(by))
    thresholds = _thresholds(fields.get("thresholds"), method, f"{pointer}/thresholds")
    count: Any = fields.get("count")
    if count is None:
        count = len(thresholds) + 1 if thresholds is not None else "auto" if method == "kmeans" else 2
    if count != "auto" and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_GROUPS):
        raise InvalidRequest(f'count is a whole number from 1 to {MAX_GROUPS}, or "auto"', f"{pointer}/count")
    if count == "auto" and method == "quantiles":
        raise InvalidRequest("quantiles need a count: any count of them fits any objects", f"{pointer}/count")
    if thresholds is not None and count not in ("auto", len(thresholds) + 1):
        raise InvalidRequest(f"{len(thresholds)} thresholds make {len(thresholds) + 1} groups", f"{pointer}/count")
    names = fields.get("names")
    if names is not None:
        listed = _list(names, f"{pointer}/names", MAX_GROUPS)
        names = tuple(_name(one, f"{pointer}/names/{index}") for index, one in enumerate(listed))
        if len(set(names)) != len(names):
            raise InvalidRequest("two groups have the same name", f"{pointer}/names")
        if count != "auto" and len(names) != count:
            raise InvalidRequest(f"there are {count} groups and {len(names)} names", f"{pointer}/names")
    return Groups(properties, method, count, thresholds, names)


def _thresholds(value: Any, method: str, pointer: str) -> tuple[float, ...] | None:
    if method != "thresholds":
        if value is not None:
            raise InvalidRequest(f"thresholds are for method thresholds, not {method}", pointer)
        return None
    listed = _list(value, pointer, MAX_GROUPS - 1) if value is not None else []
    if not listed:
        raise InvalidRequest("method thresholds needs at least one threshold", pointer)
    thresholds = tuple(_number(one, f"{pointer}/{index}") for index, one in enumerate(listed))
    if any(after <= before for before, after in pairwise(thresholds)):
        raise InvalidRequest("thresholds must ascend", pointer)
    return thresholds


def _check_groups_of_filters(rules: Rules) -> None:
    for index, one in enumerate(rules.filters):
        if one.group is not None and rules.groups is None:
            raise InvalidRequest("a filter of a group needs the rule groups", f"/filters/{index}/group")
        if one.property in LATE and rules.nesting is None:
            raise InvalidRequest(f"{one.property} needs the rule nesting", f"/filters/{index}/property")
    for index, name in enumerate(rules.groups.by if rules.groups else ()):
        if name in LATE and rules.nesting is None:
            raise InvalidRequest(f"{name} needs the rule nesting", f"/groups/by/{index}")


def _property(value: Any, pointer: str) -> str:
    known = property_names(0)
    plain = re.sub(r"^(intensity_[a-z]+)_\d{1,3}$", r"\1", value) if isinstance(value, str) else value
    if not isinstance(value, str) or plain not in known:
        raise InvalidRequest(f"unknown property; there are {describe(known)}", pointer)
    return value


def _fields(value: Any, names: Sequence[str], pointer: str, needed: Sequence[str] = ()) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"an object with {describe(names)}", pointer)
    for name in value:
        if name not in names:
            raise InvalidRequest(f"unknown field; there are {describe(names)}", f"{pointer}/{name}")
    for name in needed:
        if value.get(name) is None:
            raise InvalidRequest("is needed", f"{pointer}/{name}")
    return {name: one for name, one in value.items() if one is not None}


def _list(value: Any, pointer: str, most: int) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidRequest("is a list", pointer)
    if len(value) > most:
        raise InvalidRequest(f"has at most {most} entries", pointer)
    return value


def _choice(value: Any, choices: Sequence[str], pointer: str) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise InvalidRequest(f"is one of {describe(choices)}", pointer)
    return value


def _number(value: Any, pointer: str, low: float = -math.inf, high: float = math.inf) -> float:
    # A whole number of JSON may have any number of digits.
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 <= value <= 1e300:
        raise InvalidRequest("must be a finite number", pointer)
    if not low <= value <= high:
        limits = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise InvalidRequest(f"must be {limits}", pointer)
    return float(value)


def _name(value: Any, pointer: str) -> str:
    """A group's name: it goes into spreadsheets and file formats, so control characters are refused."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable() or not value.strip():
        raise InvalidRequest(f"a name has 1 to {MAX_NAME} printable characters", pointer)
    return value
