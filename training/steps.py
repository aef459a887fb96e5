"""One training step's losses: the dense task, and rounds of prompts as in SAM's own training."""

from dataclasses import dataclass, replace

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from training.decoder import decode
from training.losses import mask_loss, target_masks, true_iou
from training.network import Frame, embed_prompts
from training.prompts import MASKS, Prompts
from training.samples import Batch
from training.warmup import CELL

IOU_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave: the loss, the mean IoU of the best-scored mask of three, and how far scores were off."""

    loss: Tensor
    iou: float
    score_error: float


def prompt_rounds(
    sam: Sam, embeddings: Tensor, batch: Batch, prompts: Prompts, frame: Frame, rounds: int, balance: float
) -> list[Round]:
    """Decodes the prompts, then again with a click on the error and the logits before it, `rounds` times in all."""
    labels = batch.labels.to(embeddings.device)
    results: list[Round] = []
    logits: Tensor | None = None
    for number in range(rounds):
        if number:
            everything = prompts.goal[:, None].expand(-1, MASKS, -1)
            prompts = replace(prompts, targets=everything)
        truth = target_masks(labels, prompts.targets.to(labels.device))
        masks, scores = decode(sam, embeddings, embed_prompts(sam, prompts, frame), logits, frame)
        masks, scores = masks.float(), scores.float()
        with torch.no_grad():
            ious = _iou_of_owners(masks, truth)
            best = 1 + scores[:, 1:].argmax(1)
            chosen = torch.arange(len(masks), device=best.device), best
        error = (scores - ious).square().mean()
        loss = mask_loss(masks, truth, balance).mean() + IOU_WEIGHT * error
        results.append(Round(loss, ious[chosen].mean().item(), error.item() ** 0.5))
        if number + 1 < rounds:
            logits = masks.detach()[chosen][:, None]
            goal = target_masks(labels, prompts.goal[:, None].to(labels.device))[:, 0]
            prompts = _clicked(prompts, logits[:, 0] > 0, goal > 0.5)
    return results


def _iou_of_owners(masks: Tensor, truth: Tensor) -> Tensor:
    """IoU of each mask [n, m] with whichever of the prompt's targets fits it best."""
    return torch.stack([true_iou(masks, truth[:, role : role + 1]) for role in range(MASKS)]).amax(0)


def _clicked(prompts: Prompts, shown: Tensor, goal: Tensor) -> Prompts:
    """One more point for each prompt: in a random cell of the error; without errors, in the goal."""
    wrong = (shown ^ goal).flatten(1)
    chances = torch.where(wrong.any(1, keepdim=True), wrong, goal.flatten(1)).float()
    chances = chances + 1e-6
    cells = chances.multinomial(1)
    width = goal.shape[-1]
    point = torch.cat([cells % width, cells // width], dim=1)[:, None].float() * CELL + CELL / 2
    label = goal.flatten(1).gather(1, cells).float()
    if prompts.points is None or prompts.labels is None:
        return replace(prompts, points=point.cpu(), labels=label.cpu())
    return replace(
        prompts,
        points=torch.cat([prompts.points, point.cpu()], dim=1),
        labels=torch.cat([prompts.labels, label.cpu()], dim=1),
    )
