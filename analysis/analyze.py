"""Masks to objects, groups and statistics: the rules in their order, then what is left is measured and counted."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.masks.mask_set import MaskSet
from analysis.objects.measurements import Measurements, measure, parts_distances
from analysis.objects.properties import LATE
from analysis.picture import StoredPicture
from analysis.result import Analysis, Dropped, Group, measurement_statistics
from analysis.rules.clean import clean
from analysis.rules.duplicates import without_duplicates
from analysis.rules.grouping import Grouping, group_objects, one_group
from analysis.rules.nesting import Tree, label_of, nesting_tree
from analysis.rules.parameters import Rules
from analysis.rules.presets import DEFAULT, PRESETS
from analysis.rules.selection import is_background, is_monodisperse, near_edge, passes
from analysis.scale import PIXELS, Scale
from analysis.summary import summarise
from segmentation.errors import InvalidRequest
from segmentation.workers import Workers

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1; may raise to stop it."""

BEFORE_MEASURING, MEASURED = 0.2, 0.9
"""Shares of the work that are done then, roughly."""

Scores = Sequence[float | None] | NDArray[np.float64] | None


def analyze(
    masks: MaskSet,
    *,
    rules: Rules | None = None,
    preset: str | None = None,
    scale: Scale = PIXELS,
    picture: StoredPicture | None = None,
    predicted_iou: Scores = None,
    stability_score: Scores = None,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Applies rules to masks, measures what stays, groups and counts it. Deterministic.

    Args:
        masks: of one picture; empty ones are dropped.
        rules: by `resolve_rules`; None are those of the preset, or of `objects`.
        preset: the name that is kept with the result.
        scale: of the picture.
        picture: for intensities; its samples have the masks' size.
        predicted_iou, stability_score: of each mask; None where there is none.
        workers: threads that share the work; None is the caller alone.
        progress: told of the work now and then.

    Raises:
        InvalidRequest: a filter of an unknown group or of a channel that the picture lacks, or a picture of another
            size.
    """
    if rules is None:
        preset = preset or DEFAULT
        rules = PRESETS[preset].rules
    if picture is not None and tuple(picture.samples.shape[:2]) != tuple(masks.size):
        raise InvalidRequest(
            f"the masks' size is {list(masks.size)}, the picture's is {list(picture.samples.shape[:2])}", "/masks"
        )
    run = _Run(masks, rules, scale, _column(predicted_iou, len(masks)), _column(stability_score, len(masks)))
    tell = progress or (lambda share: None)
    tell(0.0)
    run.drop_before_measuring()
    tell(BEFORE_MEASURING)
    run.measure(picture, workers or Workers(1), tell)
    run.group_and_nest()
    result = run.result(preset)
    tell(1.0)
    return result


class _Run:
    """One analysis under way: the masks that are left, descending by area, and what is known of them."""

    def __init__(
        self,
        masks: MaskSet,
        rules: Rules,
        scale: Scale,
        predicted_iou: NDArray[np.float64],
        stability_score: NDArray[np.float64],
    ) -> None:
        self._rules, self._scale = rules, scale
        self._iou, self._stability = predicted_iou, stability_score
        self._input = len(masks)
        self._dropped: list[Dropped] = []
        self._masks, self._sources = masks, np.arange(len(masks))
        self._measurements: Measurements | None = None
        self._grouping: Grouping | None = None

    def drop_before_measuring(self) -> None:
        """The rules that need areas and boxes only: what they drop is never measured."""
        rules = self._rules
        areas = self._masks.areas()
        if not areas.all():
            self._keep("empty", areas > 0)
        if rules.background == "drop":
            self._keep("background", ~is_background(self._masks.areas(), self._masks.boxes(), self._masks.size))
        if rules.clean is not None:
            self._masks = clean(self._masks, rules.clean)
        order = np.argsort(-self._masks.areas(), kind="stable")
        self._masks, self._sources = self._masks.take(order), self._sources[order]
        if rules.edge is not None and rules.edge.action == "drop":
            self._keep("edge", ~near_edge(self._masks.boxes(), self._masks.size, rules.edge.margin))
        if rules.parts is not None:
            self._keep("parts", parts_distances(self._masks) <= rules.parts.max_distance)
        if rules.duplicates is not None:
            areas, boxes, scores = self._masks.areas(), self._masks.boxes(), self._iou[self._sources]
            self._keep("duplicates", without_duplicates(self._masks, areas, boxes, scores, rules.duplicates))

    def measure(self, picture: StoredPicture | None, workers: Workers, tell: Progress) -> None:
        """Measures what is left, and applies the filters that need no groups."""

        def check(done: int, total: int) -> None:
            tell(BEFORE_MEASURING + (MEASURED - BEFORE_MEASURING) * done / max(total, 1))

        measured = measure(self._masks, picture, workers, check)
        self._measurements = measured.with_columns(
            predicted_iou=self._iou[self._sources], stability_score=self._stability[self._sources]
        )
        if any(not self._is_late(index) for index in range(len(self._rules.filters))):
            self._filter(late=False)

    def group_and_nest(self) -> None:
        """Finds groups and who lies in whom, then applies the filters that need them, and `monodisperse`."""
        rules = self._rules
        used = {*(one.property for one in rules.filters), *(rules.groups.by if rules.groups else ())}
        if used & LATE:
            tree = self._tree()
            self._measurements = self._measured.with_columns(
                depth=tree.depth.astype(np.float64), children=tree.children.astype(np.float64)
            )
        self._grouping = self._group()
        if any(self._is_late(index) for index in range(len(rules.filters))):
            self._filter(late=True)
        if rules.monodisperse is not None:
            diameters = self._measured.columns["equivalent_diameter"]
            self._keep("monodisperse", is_monodisperse(diameters, self._grouping, rules.monodisperse.max_ratio))

    def result(self, preset: str | None) -> Analysis:
        """Counts what is left. Who lies in whom is told of what is left alone."""
        rules, scale, masks, measurements = self._rules, self._scale, self._masks, self._measured
        grouping = self._grouping or one_group(len(masks))
        tree = self._tree()
        margin = rules.edge.margin if rules.edge is not None else 0.0
        touches_edge = near_edge(measurements.boxes, masks.size, margin)
        labels = tuple(
            label_of(int(children)) if rules.nesting is not None and (depth == 0 or children) else None
            for children, depth in zip(tree.children, tree.depth, strict=True)
        )
        return Analysis(
            size=masks.size,
            scale=scale,
            rules=rules,
            preset=preset,
            masks=masks,
            measurements=measurements,
            sources=self._sources,
            predicted_iou=self._iou[self._sources],
            stability_score=self._stability[self._sources],
            grouping=grouping,
            tree=tree,
            labels=labels,
            touches_edge=touches_edge,
            groups=_groups(measurements, scale, grouping),
            summary=summarise(masks, measurements, scale, rules, grouping, tree, touches_edge, self._input),
            dropped=tuple(self._dropped),
        )

    @property
    def _measured(self) -> Measurements:
        if self._measurements is None:
            raise RuntimeError("nothing was measured yet")
        return self._measurements

    def _keep(self, rule: str, stays: NDArray[np.bool_]) -> None:
        self._dropped.append(Dropped(rule, int((~stays).sum())))
        if stays.all():
            return
        chosen = np.flatnonzero(stays)
        self._masks, self._sources = self._masks.take(chosen), self._sources[chosen]
        if self._measurements is not None:
            self._measurements = self._measurements.take(chosen)
        if self._grouping is not None:
            self._grouping = self._grouping.take(chosen)

    def _is_late(self, index: int) -> bool:
        """Whether a filter is applied after groups and nesting are known."""
        one = self._rules.filters[index]
        return one.group is not None or one.property in LATE

    def _filter(self, *, late: bool) -> None:
        stays = np.ones(len(self._masks), np.bool_)
        for index, one in enumerate(self._rules.filters):
            if self._is_late(index) == late:
                stays &= passes(one, self._measured, self._scale, self._grouping, f"/filters/{index}")
        self._keep("group_filters" if late else "filters", stays)

    def _group(self) -> Grouping:
        rule = self._rules.groups
        if rule is None:
            return one_group(len(self._masks))
        columns = []
        for index, name in enumerate(rule.by):
            try:
                columns.append(self._measured.column(name, self._scale))
            except KeyError:
                raise InvalidRequest(
                    f"the picture has {self._measured.channels} channels, from 0", f"/groups/by/{index}"
                ) from None
        return group_objects(rule, columns, self._measured.columns["area"])

    def _tree(self) -> Tree:
        if self._rules.nesting is None:
            nobody = np.zeros(len(self._masks), np.int64)
            return Tree(nobody - 1, nobody, nobody)
        return nesting_tree(self._masks, self._masks.areas(), self._masks.boxes(), self._rules.nesting)


def _groups(measurements: Measurements, scale: Scale, grouping: Grouping) -> tuple[Group, ...]:
    groups = []
    for number, name in enumerate(grouping.names):
        chosen = grouping.numbers == number
        count = int(chosen.sum())
        share = count / len(measurements) if len(measurements) else 0.0
        groups.append(Group(name, count, share, measurement_statistics(measurements, scale, chosen)))
    return tuple(groups)


def _column(values: Scores, count: int) -> NDArray[np.float64]:
    """Scores as a column; NaN where there is none."""
    if values is None:
        return np.full(count, np.nan)
    column = np.array([np.nan if value is None else value for value in values], np.float64)
    if len(column) != count:
        raise ValueError(f"{count} masks and {len(column)} scores")
    return column
