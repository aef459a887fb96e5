import re
from pathlib import Path

import pytest

from segmentation.errors import ConfigurationError
from segmentation.weights.manifest import MANIFEST, find_model, load_manifest

_ARCHITECTURE = """
[architectures.x]
image_size = {side}
embed_dim = 32
depth = 1
num_heads = {heads}
global_attn_indexes = []
"""


def test_the_manifest_has_metas_checkpoints() -> None:
    models = load_manifest()
    assert {"vit_h", "vit_l", "vit_b", "demo"} <= set(models)
    vit_h = models["vit_h"]
    assert (vit_h.file, vit_h.bytes) == ("sam_vit_h_4b8939.pth", 2564550879)
    assert vit_h.sha256 == "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"
    assert vit_h.url == "https://dl.fbaipublicfiles.com/segment_anything/sam_vit_h_4b8939.pth"
    assert models["vit_b"].architecture.embedding_shape == (256, 64, 64)
    assert models["vit_b"].architecture.low_res_side == 256
    assert models["demo"].architecture.image_size == 512


def test_a_user_adds_a_checkpoint_by_name(tmp_path: Path) -> None:
    own = tmp_path / "manifest.toml"
    own.write_text('[models.cells]\narchitecture = "vit_b"\nfile = "cells.pth"\nlicence = "MIT"\n')
    cells = find_model("cells", load_manifest(MANIFEST, own))
    assert cells.architecture == load_manifest()["vit_b"].architecture
    assert (cells.file, cells.url, cells.sha256) == ("cells.pth", None, None)


def test_a_second_manifest_may_be_absent(tmp_path: Path) -> None:
    assert load_manifest(MANIFEST, tmp_path / "manifest.toml") == load_manifest()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[models.vit_b]\narchitecture = "vit_b"\nfile = "x.pth"', "defines 'vit_b' a second time"),
        ('[models.x]\narchitecture = "vit_z"\nfile = "x.pth"', "architecture must be one of"),
        ('[models.x]\narchitecture = ["vit_b"]\nfile = "x.pth"', "architecture must be one of"),
        ('[models.x]\narchitecture = "vit_b"\nfile = ".."', "models.x.file in manifest.toml"),
        (
            '[models.x]\narchitecture = "vit_b"\nfile = "x.pth"\npreprocess.resize = "crop"',
            "models.x.preprocess",
        ),
        ('[architectures.y]\nencoder = "swin"\nimage_size = 64', "encoder must be one of vit, tiny_vit"),
        ('[models.x]\narchitecture = "vit_b"', "models.x.file in manifest.toml: Field required"),
        ('[models.x]\narchitecture = "vit_b"\nfile = "x.pth"\nsha = "0"', "models.x.sha in manifest.toml: Unexpected"),
        ('[models.x]\narchitecture = "vit_b"\nfile = "../x.pth"', "models.x.file in manifest.toml"),
        (
            '[models.x]\narchitecture = "vit_b"\nfile = 7',
            "models.x.file in manifest.toml: Input should be a valid string",
        ),
        ('[models.x]\narchitecture = "vit_b"\nfile = "x.pth"\nsha256 = "abc"', "models.x.sha256 in manifest.toml"),
        (_ARCHITECTURE.format(side=500, heads=2), "image_size must be a multiple of patch_size"),
        (_ARCHITECTURE.format(side=512, heads=3), "embed_dim must be a multiple of num_heads"),
        (
            _ARCHITECTURE.format(side=512, heads=3).replace("32", "33"),
            "embed_dim must be a multiple of num_heads and of 2",
        ),
        ("[models.x", "can't read the model manifest"),
        ("models = 3", "models must hold a table for each name"),
        ("models.x = 3", "models must hold a table for each name"),
    ],
)
def test_a_malformed_entry_is_named(tmp_path: Path, text: str, says: str) -> None:
    own = tmp_path / "manifest.toml"
    own.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        load_manifest(MANIFEST, own)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown model type 'vit_x'.*demo.*vit_b"):
        find_model("vit_x", load_manifest())
