"""Embedded colour profiles: converted where they mean something, ignored where they don't."""

import struct

import numpy as np
import pytest
from pictures import decode, encoded, picture, pillow, scene
from PIL import ImageCms


def swapped_profile() -> bytes:
    """Red and green exchanged: a linear profile whose effect can't be missed, made of sRGB's own."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    names = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = names[b"rXYZ"], names[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_another_colour_profile_is_converted() -> None:
    rgb = decode(encoded(picture("RGB"), "PNG", icc_profile=swapped_profile()))
    assert np.abs(rgb.astype(int) - scene()[:, :, [1, 0, 2]]).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
@pytest.mark.parametrize("profile", [SRGB, b"no profile at all", SRGB[:200]], ids=["srgb", "foreign", "truncated"])
def test_srgb_and_broken_profiles_change_nothing(mode: str, profile: bytes) -> None:
    data = encoded(picture(mode), "PNG", icc_profile=profile)
    assert np.array_equal(decode(data), pillow(data))


def test_profile_is_not_applied_to_samples_as_stored() -> None:
    data = encoded(picture("RGB"), "PNG", icc_profile=swapped_profile())
    assert np.array_equal(decode(data, channels=(0, 1, 2)), scene())
