"""What is read from a labelling configuration."""

import pytest

from deployments.http.protocols.label_studio.label_config import MAX_CONFIG, Control, control_of
from segmentation.errors import InvalidRequest

BOTH = """<?xml version="1.0"?>
<View>
  <Header value="Coins &amp; dots"/>
  <Image name="photo" value="$image_url"/>
  <Text name="text" value="$text"/>
  <PolygonLabels name="outline" toName="photo"><Label value="Edge"/></PolygonLabels>
  <View><BrushLabels name="brush" toName="photo"><Label value="Münze"/><Label value="Dot"/></BrushLabels></View>
  <RectangleLabels name="box" toName="photo"><Label value="No" smart="true"/></RectangleLabels>
</View>"""


def test_brushes_come_before_polygons_with_their_own_labels() -> None:
    assert control_of(BOTH) == Control("brushlabels", "brush", "photo", "image_url", ("Münze", "Dot"))
    polygons = BOTH.replace("BrushLabels", "KeyPointLabels")
    assert control_of(polygons) == Control("polygonlabels", "outline", "photo", "image_url", ("Edge",))


def test_a_control_on_something_else_than_a_picture_is_passed_over() -> None:
    on_text = BOTH.replace('name="brush" toName="photo"', 'name="brush" toName="text"')
    assert control_of(on_text).name == "outline"


def test_several_pictures_are_told_apart_by_name() -> None:
    config = (
        '<View><Image name="a" value="$left"/><Image name="b" value="$right"/>'
        '<BrushLabels name="brush" toName="b"/></View>'
    )
    assert control_of(config) == Control("brushlabels", "brush", "b", "right", ())


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("", "no XML"),
        ("<View>", "no XML"),
        ("<View></Views>", "no XML"),
        ("plain text", "no XML"),
        ("<View/>", "no BrushLabels or PolygonLabels"),
        ('<View><Image name="i" value="$i"/></View>', "no BrushLabels or PolygonLabels"),
        ('<View><BrushLabels name="b" toName="i"/></View>', "no BrushLabels or PolygonLabels"),
        ("<!DOCTYPE v [<!ENTITY a 'x'>]><View>&a;</View>", "declares entities"),
        (" " * MAX_CONFIG + "<View/>", "too long"),
    ],
)
def test_what_is_wrong_is_told(config: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as told:
        control_of(config)
    assert told.value.pointer == "/label_config"
