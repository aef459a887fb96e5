"""ISAT: its dialog's check of a remote server, its encoder thread's call, and its predictor on what came back."""

import os
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import torch  # noqa: TID251
from common import BOX, POINT, job
from ISAT.segment_any.segment_anything import SamPredictor
from ISAT.segment_any.segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from ISAT.widgets.mainwindow import SegAnyThread
from ISAT.widgets.remote_sam_dialog import RemoteSamDialog
from PIL import Image
from PyQt5.QtWidgets import QApplication, QWidget

MODELS = Path(__file__).resolve().parents[3] / "model"


def predictor_of(checkpoint: Path, side: int) -> SamPredictor:
    """ISAT's predictor with the decoder of a checkpoint, and no encoder.

    Args:
        side: of the embedding.
    """
    encoder = torch.nn.Identity()
    encoder.img_size = 16 * side
    encoder.neck = torch.nn.ModuleList([torch.nn.Linear(1, 1)])  # the predictor looks for its dtype there
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=transformer,
        transformer_dim=256,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    sam = Sam(encoder, PromptEncoder(256, (side, side), (16 * side, 16 * side), 16), decoder).eval()
    weights = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for part in ("prompt_encoder", "mask_decoder"):
        own = {name[len(part) + 1 :]: tensor.float() for name, tensor in weights.items() if name.startswith(part)}
        getattr(sam, part).load_state_dict(own)
    return SamPredictor(sam)


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
    dialog.lineEdit_port.setText(f"{parts.port}/isat/{asked.model()}")
    dialog.check_connection()
    named, _, _ = SegAnyThread.sam_encoder(SimpleNamespace(mainwindow=window), image)
    assert torch.equal(named, features)
    predictor = predictor_of(MODELS / dialog.label_name.text(), features.shape[-1])
    predictor.features, predictor.is_image_set = features, True
    predictor.original_size, predictor.input_size = tuple(original_size), tuple(input_size)

    def best(**prompt: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            masks, scores, _ = predictor.predict(**prompt, multimask_output=True)
        return masks[scores.argmax()]

    asked.save(
        embedding=features.numpy(),
        original_size=np.array(original_size),
        point=best(point_coords=np.array([POINT]), point_labels=np.array([1])),
        box=best(box=np.array(BOX)),
    )
    application.quit()


main()
