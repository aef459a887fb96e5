"""X-AnyLabeling itself, without a screen: its window, its dialog for the server, and clicks on its canvas."""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import cv2
import numpy as np
from anylabeling import config as settings
from anylabeling.services.auto_labeling.types import AutoLabelingMode
from anylabeling.views.labeling.widgets.remote_server_dialog import RemoteServerDialog
from anylabeling.views.mainwindow import MainWindow
from common import BOX, POINT, Job, job
from PyQt6.QtCore import QPointF, Qt, QTimer
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication

from anylabeling.resources import resources  # noqa: F401  # isort: skip  # holds the list of models

MODEL = ":/remote_server.yaml"
LIMIT_S = 120


class Window:
    """The application's window with the picture in it, connected to the server."""

    def __init__(self, asked: Job, folder: str) -> None:
        settings.set_work_directory(folder)
        settings.get_default_config()
        settings.current_config_file = str(Path(folder) / ".xanylabelingrc")
        self._window = MainWindow(QApplication.instance(), config=settings.get_config(), filename=str(asked.picture))
        self._window.resize(1600, 1000)
        self._window.show()
        self._view = self._window.labeling_widget.view
        self._view.auto_labeling_widget.show()
        self._panel = self._view.auto_labeling_widget
        self._manager = self._panel.model_manager
        self.said: list[str] = []
        self._manager.new_model_status.connect(self.said.append)
        self._finished = 0
        self._manager.prediction_finished.connect(self._count)
        wait(lambda: self._view.canvas.pixmap is not None and not self._view.canvas.pixmap.isNull())
        self._connect(asked)

    def _count(self) -> None:
        self._finished += 1

    def _connect(self, asked: Job) -> None:
        """Chooses the remote server among the models, and fills in its dialog."""

        def fill_in() -> None:
            dialog = QApplication.activeModalWidget()
            assert isinstance(dialog, RemoteServerDialog), dialog
            dialog.url_input.setText(asked.url)
            dialog.api_key_input.setText(asked.key)
            dialog.accept()

        (name,) = [name for name, info in self._panel.model_info.items() if info.get("config_path") == MODEL]
        QTimer.singleShot(500, fill_in)
        self._panel.on_model_selected("CVHub", name)
        wait(lambda: self._panel.remote_server_select_combobox.count() > 0)

    def choose(self, index: int) -> str:
        """Chooses one of the server's models in the panel; its name there."""
        box = self._panel.remote_server_select_combobox
        box.setCurrentIndex(index)
        QApplication.processEvents()
        return str(box.currentText())

    def shows(self, widget: str) -> bool:
        """Whether the panel shows the widget."""
        return bool(getattr(self._panel, widget).isVisible())

    def point(self, x: int, y: int) -> np.ndarray:
        """The mask, bool [H, W], of a click on the middle of a pixel."""
        return self._marked("button_add_point", [(x, y)]).any(axis=0)

    def rectangle(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """The mask, bool [H, W], of a rectangle between two clicks."""
        return self._marked("button_add_rect", [(x0, y0), (x1, y1)]).any(axis=0)

    def everything(self) -> np.ndarray:
        """The masks, bool [N, H, W], of a click on Run."""
        self._ask(self._panel.button_run.click)
        return self._masks("object")

    def _marked(self, button: str, corners: list[tuple[int, int]]) -> np.ndarray:
        self._panel.button_clear.click()
        getattr(self._panel, button).click()
        self._ask(lambda: [self._click(x, y) for x, y in corners])
        return self._masks(AutoLabelingMode.OBJECT)

    def _click(self, x: int, y: int) -> None:
        canvas = self._view.canvas
        place = (QPointF(x + 0.5, y + 0.5) + canvas.offset_to_center()) * canvas.scale
        QTest.mouseMove(canvas, place.toPoint())
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=place.toPoint())
        QApplication.processEvents()

    def _ask(self, action: Callable[[], object]) -> None:
        """Does it, and waits for the answer."""
        before, said = self._finished, len(self.said)
        action()
        wait(lambda: self._finished > before and not self._manager.model_execution_thread.isRunning())
        errors = [line for line in self.said[said:] if "rror" in line]
        assert not errors, errors

    def _masks(self, label: str) -> np.ndarray:
        picture = self._view.image
        masks = []
        for shape in self._view.canvas.shapes:
            if shape.label == label:
                points = np.array([[point.x(), point.y()] for point in shape.points])
                assert len(points) >= 3  # the window takes the last point off, which is the first again
                mask = np.zeros((picture.height(), picture.width()), np.uint8)
                cv2.fillPoly(mask, [points.astype(np.int32)], 1)
                masks.append(mask.astype(bool))
        assert masks, (label, [shape.label for shape in self._view.canvas.shapes])
        return np.array(masks)


def wait(until: Callable[[], bool]) -> None:
    """Runs the application until the condition holds."""
    deadline = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < deadline, "X-AnyLabeling did not get there"
        QApplication.processEvents()
        time.sleep(0.01)


def main() -> None:
    asked = job()
    application = QApplication([])
    with tempfile.TemporaryDirectory() as folder:
        window = Window(asked, folder)
        window.choose(0)
        assert window.shows("button_add_point")
        assert window.shows("button_add_rect")
        point = window.point(*POINT)
        again = window.point(*POINT)
        box = window.rectangle(*BOX)
        assert "everything" in window.choose(1)
        assert window.shows("button_run")
        everything = window.everything()
    asked.save(point=point, again=again, box=box, everything=everything)
    application.processEvents()
    os._exit(0)  # the window would ask whether to save


main()
