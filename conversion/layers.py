"""The layers that encoder and decoder graphs share, by their names in the state dict."""

from conversion.graph import Graph
from conversion.weights import Weights


def linear(graph: Graph, x: str, weights: Weights, name: str) -> str:
    """`torch.nn.Linear` of that name, on the last axis."""
    kernel = graph.weight(weights[f"{name}.weight"].T, f"{weights.prefix}{name}.weight")
    return graph.linear(x, kernel, graph.weight(weights[f"{name}.bias"], f"{weights.prefix}{name}.bias"))


def norm(graph: Graph, x: str, weights: Weights, name: str, epsilon: float) -> str:
    """`torch.nn.LayerNorm` of that name, on the last axis; `LayerNorm2d` where the channels are last."""
    scale = graph.weight(weights[f"{name}.weight"], f"{weights.prefix}{name}.weight")
    bias = graph.weight(weights[f"{name}.bias"], f"{weights.prefix}{name}.bias")
    return graph.layer_norm(x, scale, bias, epsilon)
