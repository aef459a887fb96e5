"""ISAT: its dialog's check of a remote server, and its encoder thread's call."""

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import torch  # noqa: TID251
from common import job
from ISAT.widgets.mainwindow import SegAnyThread
from ISAT.widgets.remote_sam_dialog import RemoteSamDialog
from PIL import Image
from PyQt5.QtWidgets import QApplication, QWidget


def main() -> None:
    asked = job()
    application = QApplication([])
    parts = urlsplit(asked.url)
    parent = QWidget()
    dialog = RemoteSamDialog(parent, parent)
    dialog.lineEdit_host.setText(parts.hostname)
    dialog.lineEdit_port.setText(str(parts.port))
    dialog.check_connection()
    assert dialog.checkBox_use_remote.isEnabled(), "the dialog did not accept the server"
    model = SimpleNamespace(model_dtype=torch.float32, device="cpu", model_source="sam", model_type="vit_b")
    window = SimpleNamespace(use_remote_sam=True, remote_sam_dialog=dialog, segany=model)
    image = np.array(Image.open(asked.picture).convert("RGB"))
    features, original_size, input_size = SegAnyThread.sam_encoder(SimpleNamespace(mainwindow=window), image)
    asked.save(embedding=features.numpy(), original_size=np.array(original_size), input_size=np.array(input_size))
    application.quit()


main()
