import re
from pathlib import Path

import pytest

from deployments.settings.server import Settings, resolve
from segmentation.errors import ConfigurationError
from segmentation.settings import documented
from segmentation.weights.manifest import PROJECT_ROOT


def test_defaults_are_the_documented_ones() -> None:
    settings = resolve({}).settings
    assert (settings.backend, settings.model_type, settings.precision) == ("auto", "vit_h", "fp32")
    assert settings.use_gpu is True
    assert settings.performance_mode is False
    assert settings.model_dir == PROJECT_ROOT / "model"
    assert settings.onnx_dir == PROJECT_ROOT / "model" / "onnx"
    assert (settings.max_body_mb, settings.max_megapixels) == (50, 64)
    assert (settings.max_prompts, settings.max_points_per_side, settings.max_crop_layers) == (64, 64, 3)
    assert (settings.max_queue, settings.prompt_timeout_s, settings.auto_timeout_s) == (64, 120, 1800)


def test_environment_wins_over_args_and_says_so() -> None:
    resolved = resolve({"SAM_MODEL_TYPE": "demo", "SAM_MAX_QUEUE": "7"}, {"model_type": "vit_h", "max_prompts": 9})
    assert resolved.settings.model_type == "demo"
    assert resolved.settings.max_prompts == 9
    assert resolved.sources["model_type"] == "environment"
    assert resolved.sources["max_prompts"] == "args"
    assert resolved.sources["backend"] == "default"
    assert resolved.lines == (
        "model_type=demo (environment, over args vit_h)",
        "max_prompts=9 (args)",
        "max_queue=7 (environment)",
    )


def test_empty_is_unset() -> None:
    resolved = resolve({"SAM_MODEL_TYPE": "", "SAM_BACKEND": ""}, {"model_type": None, "backend": "onnx"})
    assert resolved.settings.model_type == "vit_h"
    assert resolved.settings.backend == "onnx"


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("TRUE", True), ("1", True), ("Yes", True), ("false", False), ("0", False), ("NO", False)],
)
def test_booleans_in_any_case(text: str, value: bool) -> None:
    assert resolve({"SAM_USE_GPU": text}).settings.use_gpu is value
    assert resolve({}, {"use_gpu": text}).settings.use_gpu is value


def test_yaml_booleans_and_numbers_are_taken_as_they_are() -> None:
    settings = resolve({}, {"use_gpu": False, "max_body_mb": 12, "threads": 2}).settings
    assert (settings.use_gpu, settings.max_body_mb, settings.threads) == (False, 12.0, 2)


@pytest.mark.parametrize(
    ("environ", "args", "says"),
    [
        ({}, {"modle_type": "demo"}, "unknown setting 'modle_type' in args"),
        ({"SAM_USE_GPU": "maybe"}, {}, "SAM_USE_GPU is 'maybe'; say true or false"),
        ({"SAM_BACKEND": "tensorflow"}, {}, "choose one of pytorch, onnx, auto"),
        ({"SAM_MAX_PROMPTS": "0"}, {}, "SAM_MAX_PROMPTS is 0; it must be at least 1"),
        ({"SAM_MAX_PROMPTS": "6.5"}, {}, "say a whole number"),
        ({"SAM_MAX_BODY_MB": "nan"}, {}, "it must be at least"),
        ({"SAM_PROMPT_TIMEOUT_S": "inf"}, {}, "it must be at least"),
        ({}, {"max_queue": "many"}, "max_queue in args is 'many'; say a whole number"),
        ({"SAM_MODEL_TYPE": "demo"}, {"use_gpu": 3}, "use_gpu in args is '3'"),
        ({"SAM_CORS_ORIGINS": "https://a.org/"}, {}, "SAM_CORS_ORIGINS: 'https://a.org/' is no origin"),
        ({"SAM_CORS_ORIGINS": "https://a.org,*"}, {}, "SAM_CORS_ORIGINS: * goes alone"),
        ({}, {"cors_origins": "a.org"}, "cors_origins in args: 'a.org' is no origin"),
    ],
)
def test_bad_values_stop_the_start(environ: dict[str, str], args: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        resolve(environ, args)


def test_origins_are_read_as_browsers_send_them() -> None:
    given = "https://Example.org, http://localhost:3000,http://[::1]:80"
    expected = ("https://example.org", "http://localhost:3000", "http://[::1]:80")
    assert resolve({"SAM_CORS_ORIGINS": given}).settings.cors_origins == expected
    assert resolve({}, {"cors_origins": "*"}).settings.cors_origins == ("*",)
    assert resolve({}).settings.cors_origins == ()


def test_a_secret_is_never_shown() -> None:
    secret = "0123456789abcdefghij"
    resolved = resolve({"SAM_API_KEYS": f"alice:{secret},bob:{secret}2"})
    assert [key.name for key in resolved.settings.api_keys] == ["alice", "bob"]
    assert resolved.lines == ("api_keys=alice, bob (environment)",)
    assert "api_keys" not in repr(resolved.settings)
    assert secret not in repr(resolved)


def test_a_secret_comes_from_the_environment_only() -> None:
    secret = "0123456789abcdefghij"
    with pytest.raises(ConfigurationError, match="set SAM_API_KEYS") as caught:
        resolve({}, {"api_keys": f"alice:{secret}"})
    assert secret not in caught.value.message
    with pytest.raises(ConfigurationError, match="SAM_API_KEYS: entry 1 must be name:key") as caught:
        resolve({"SAM_API_KEYS": secret})
    assert secret not in caught.value.message


def test_unknown_variable_warns() -> None:
    resolved = resolve({"SAM_MODEL": "demo", "SAMBA": "x"})
    assert len(resolved.warnings) == 1
    assert "SAM_MODEL is set but is no setting" in resolved.warnings[0]


def test_relative_paths_are_under_the_project_and_absolute_ones_stay(tmp_path: Path) -> None:
    settings = resolve({"SAM_MODEL_DIR": str(tmp_path), "SAM_ONNX_DIR": "elsewhere/onnx"}).settings
    assert settings.model_dir == tmp_path
    assert settings.onnx_dir == PROJECT_ROOT / "elsewhere" / "onnx"


def test_the_document_lists_every_setting_as_the_code_has_it() -> None:
    text = (PROJECT_ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = [tuple(cell.strip() for cell in line.strip("| \n").split(" | ")) for line in text.splitlines()]
    settings = [row for row in rows if len(row) == 4 and row[0].startswith("`SAM_")]
    assert settings == documented(Settings)
    assert len(settings) == len(Settings.__dataclass_fields__)


def test_a_larger_body_has_room_without_a_second_setting() -> None:
    assert resolve({"SAM_MAX_BODY_MB": "900"}).settings.max_body_total_mb == 900
    with pytest.raises(ConfigurationError, match="SAM_MAX_BODY_TOTAL_MB is 800, less than SAM_MAX_BODY_MB, 900"):
        resolve({"SAM_MAX_BODY_MB": "900", "SAM_MAX_BODY_TOTAL_MB": "800"})


def test_a_store_is_a_path_or_a_url_without_a_password() -> None:
    for given in ("/var/lib/sam", "held", "s3://bucket/folder", "sftp://user@host/folder", "simplecache::s3://b/f"):
        assert resolve({"SAM_EMBEDDING_STORE": given}).settings.embedding_store == given
    for given in ("sftp://user:secret@host/folder", "simplecache::ftp://user:secret@host/f"):
        with pytest.raises(ConfigurationError, match="holds a password") as caught:
            resolve({"SAM_EMBEDDING_STORE": given})
        assert "secret" not in caught.value.message


def test_origins_of_pictures_are_named_one_by_one() -> None:
    text = "https://Pictures.example:443, http://10.0.0.5:9000,http://x:80"
    origins = resolve({"SAM_IMAGE_URL_ORIGINS": text}).settings.image_url_origins
    assert origins == ("https://pictures.example", "http://10.0.0.5:9000", "http://x")
    for wrong in ("*", "pictures.example", "https://pictures.example/path", "https://a.example,*"):
        with pytest.raises(ConfigurationError, match="SAM_IMAGE_URL_ORIGINS"):
            resolve({"SAM_IMAGE_URL_ORIGINS": wrong})
