"""X-AnyLabeling: its remote model, and the widgets that its panel shows for it."""

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import cv2
import numpy as np
from anylabeling.services.auto_labeling.remote_server import RemoteServer
from anylabeling.views.labeling.widgets.auto_labeling.auto_labeling import AutoLabelingWidget
from common import BOX, POINT, job
from PyQt6.QtGui import QImage
from PyQt6.QtWidgets import QApplication


def main() -> None:
    asked = job()
    application = QApplication([])
    messages: list[str] = []
    os.environ["XANYLABELING_SERVER_URL"] = asked.url
    model = RemoteServer({"type": "remote_server", "display_name": "Remote"}, messages.append)
    model.server_url, model.predict_url = asked.url, f"{asked.url}/v1/predict"
    model.headers["Token"] = asked.key
    offered = model.get_available_models()
    for entry in offered.values():
        unknown = {widget["name"] for widget in entry["widgets"]} - set(AutoLabelingWidget.supported_remote_widgets)
        assert not unknown, unknown
    clicked, everything = list(offered)[:2]
    image = QImage(str(asked.picture))
    size = (image.height(), image.width())

    def shapes(model_id: str, marks: list[dict[str, object]]) -> list[np.ndarray]:
        model.set_model_id(model_id)
        model.set_auto_labeling_marks(marks)
        result = model.predict_shapes(image, str(asked.picture))
        assert not messages, messages
        masks = []
        for shape in result.shapes:
            points = np.array([[point.x(), point.y()] for point in shape.points])
            assert len(points) >= 4
            assert (points[0] == points[-1]).all()
            mask = np.zeros(size, np.uint8)
            cv2.fillPoly(mask, [points.astype(np.int32)], 1)
            masks.append(mask.astype(bool))
        return masks

    click = {"type": "point", "data": list(POINT), "label": 1}
    asked.save(
        point=np.array(shapes(clicked, [click])).any(axis=0),
        again=np.array(shapes(clicked, [click])).any(axis=0),
        box=np.array(shapes(clicked, [{"type": "rectangle", "data": list(BOX), "label": 1}])).any(axis=0),
        everything=np.array(shapes(everything, [])),
    )
    application.quit()


main()
