"""What a training run is made of and how it is kept: network, throwaway head, optimiser, averaged weights, time."""

import logging
from pathlib import Path

import torch
import torch.distributed as dist
from segment_anything.modeling import Sam
from torch import Tensor, nn

from training.warmup import DenseHead

AVERAGING = 0.998
WEIGHT_DECAY = 0.05
MUON_FACTOR = 2.5

LOG = logging.getLogger("training")
CLIP = 1.0


class TrainingState:
    """Muon moves the transformers' projections, AdamW the rest.

    `elapsed` is seconds spent in steps, over all resumptions. Files in `folder` appear whole or not at all.
    """

    def __init__(self, sam: Sam, folder: Path) -> None:
        self.sam = sam
        self.head = DenseHead().to(sam.device)
        self.folder = folder
        self.steps = 0
        self.elapsed = 0.0
        for block in sam.image_encoder.blocks:
            for table in (block.attn.rel_pos_h, block.attn.rel_pos_w):
                nn.init.trunc_normal_(table, std=0.02)
        nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)
        self.average = {name: value.detach().clone() for name, value in sam.state_dict().items()}
        parameters = [*sam.parameters(), *self.head.parameters()]
        projections = {
            id(module.weight)
            for part in (sam.image_encoder.blocks, sam.mask_decoder.transformer)
            for module in part.modules()
            if isinstance(module, nn.Linear)
        }
        matrices = [value for value in parameters if id(value) in projections]
        others = [value for value in parameters if id(value) not in projections]
        self.optimizers = [
            torch.optim.Muon(matrices, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, weight_decay=0.0, betas=(0.9, 0.98)),
        ]

    @property
    def patches(self) -> int:
        """Side of the model's frame in patches."""
        return self.sam.prompt_encoder.image_embedding_size[0]

    def set_rate(self, rate: float) -> None:
        """The rate of AdamW; Muon's is MUON_FACTOR as high."""
        for optimizer, factor in zip(self.optimizers, (MUON_FACTOR, 1.0), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = factor * rate

    def update(self, loss: Tensor, seconds: float) -> None:
        """One optimiser step that took `seconds`; the average follows, faster at first."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.elapsed += seconds
        self._share()
        norm = nn.utils.clip_grad_norm_([*self.sam.parameters(), *self.head.parameters()], CLIP)
        if not norm.isfinite():
            LOG.warning("step left out: gradients are not finite")
            return
        for optimizer in self.optimizers:
            optimizer.step()
        self.steps += 1
        keep = min(AVERAGING, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for name, value in self.sam.state_dict().items():
                if value.dtype.is_floating_point:
                    self.average[name].lerp_(value, 1 - keep)

    def _share(self) -> None:
        """Under torchrun: averages gradients and the time spent over the processes, so that all stay the same."""
        if not dist.is_initialized():
            return
        parameters = [value for value in [*self.sam.parameters(), *self.head.parameters()] if value.requires_grad]
        for value in parameters:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        elapsed = torch.tensor([self.elapsed], device=self.sam.device)
        flat = torch.cat([*(value.grad.flatten() for value in parameters), elapsed])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        *shares, elapsed = flat.split([*(value.numel() for value in parameters), 1])
        for value, share in zip(parameters, shares, strict=True):
            value.grad.copy_(share.view_as(value))
        self.elapsed = elapsed.item()

    def save(self) -> None:
        """Writes `checkpoint.pth`, and `sam_demo.pth`: the average in fp16. The first process does."""
        if dist.is_initialized() and dist.get_rank():
            return
        checkpoint = {
            "sam": self.sam.state_dict(),
            "head": self.head.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "steps": self.steps,
            "elapsed": self.elapsed,
        }
        _write(checkpoint, self.folder / "checkpoint.pth")
        _write({name: value.half().cpu() for name, value in self.average.items()}, self.folder / "sam_demo.pth")

    def load(self) -> None:
        """Goes on from `checkpoint.pth`."""
        checkpoint = torch.load(self.folder / "checkpoint.pth", map_location=self.sam.device, weights_only=True)
        self.sam.load_state_dict(checkpoint["sam"])
        self.head.load_state_dict(checkpoint["head"])
        self.average = checkpoint["average"]
        for optimizer, kept in zip(self.optimizers, checkpoint["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.steps, self.elapsed = checkpoint["steps"], checkpoint["elapsed"]


def _write(content: object, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)
