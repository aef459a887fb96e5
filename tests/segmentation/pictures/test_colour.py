"""Embedded colour profiles: converted where they mean something, ignored where they don't."""

import io
import struct

import numpy as np
import pytest
from pictures import decode, encoded, picture, pillow, scene
from PIL import ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def tags_of(profile: bytes) -> dict[bytes, tuple[int, int]]:
    """Where each tag's entry in the table and its value begin."""
    count = struct.unpack(">I", profile[128:132])[0]
    entries = range(132, 132 + 12 * count, 12)
    return {profile[at : at + 4]: (at, struct.unpack(">I", profile[at + 4 : at + 8])[0]) for at in entries}


def nearly_srgb_profile() -> bytes:
    """Red a little darker, as vendors' own roundings of sRGB differ."""
    profile = bytearray(SRGB)
    place = tags_of(SRGB)[b"rXYZ"][1] + 8
    profile[place : place + 4] = struct.pack(">i", struct.unpack(">i", profile[place : place + 4])[0] - 100)
    return bytes(profile)


def swapped_profile() -> bytes:
    """Red and green exchanged: a linear profile whose effect can't be missed, made of sRGB's own."""
    profile = bytearray(SRGB)
    red, green = tags_of(SRGB)[b"rXYZ"][0], tags_of(SRGB)[b"gXYZ"][0]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


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


def test_another_rounding_of_srgb_changes_nothing() -> None:
    profile = nearly_srgb_profile()
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = np.asarray(ImageCms.profileToProfile(picture("RGB"), source, ImageCms.createProfile("sRGB")))
    assert np.abs(converted.astype(int) - scene()).max() == 1, "the profile is no test"
    assert np.array_equal(decode(encoded(picture("RGB"), "PNG", icc_profile=profile)), scene())
