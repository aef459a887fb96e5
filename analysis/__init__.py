"""From masks to measurements: clean, filter, group, measure, count, export. Knows no Ray, no HTTP and no model.

masks = read_masks(segmentations, size)          # or from_rles(rles, size)
rules = resolve_rules("droplets", {"edge": None})
result = analyze(masks, rules=rules, preset="droplets", scale=read_scale(0.65, "µm"), picture=picture)
data = export(result, "xlsx", Source(name="droplets.tif"))
"""

from analysis.analyze import analyze
from analysis.export.formats import EXPORTS, Source, export, export_many
from analysis.masks.mask_set import MaskSet, from_rles, pack
from analysis.masks.read import read_masks
from analysis.picture import StoredPicture
from analysis.result import Analysis, Dropped, Group
from analysis.rules.parameters import Rules
from analysis.rules.presets import DEFAULT, PRESETS, Preset
from analysis.rules.read import RULE_NAMES, resolve_rules
from analysis.scale import PIXELS, Scale, parse_scale, read_scale, scale_of_file

__all__ = [
    "DEFAULT",
    "EXPORTS",
    "PIXELS",
    "PRESETS",
    "RULE_NAMES",
    "Analysis",
    "Dropped",
    "Group",
    "MaskSet",
    "Preset",
    "Rules",
    "Scale",
    "Source",
    "StoredPicture",
    "analyze",
    "export",
    "export_many",
    "from_rles",
    "pack",
    "parse_scale",
    "read_masks",
    "read_scale",
    "resolve_rules",
    "scale_of_file",
]
