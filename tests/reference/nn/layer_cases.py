"""The layers, activations and losses whose values PyTorch has computed: what they are made with, and their inputs.

`make_nn.py` runs each with PyTorch and stores inputs and results, the tests run it with this project. A layer's name, arguments
and keywords are one for both; so are the names of its parameters and buffers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

Shape = tuple[int, ...]


class Layer(NamedTuple):
    """A layer, and the shapes of its inputs."""

    name: str
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}  # noqa: RUF012 - never written
    inputs: tuple[Shape, ...] = ((5, 4),)
    integers: int = 0  # inputs are integers below this number
    batches: int = 0  # seen before, in training
    training: bool = True
    pair: bool = False  # the second and third input are one argument
    grid: bool = False  # the input is `GRID`: kinks, tails and what lies between
    ties: bool = False  # inputs are small integers


# Kinks at 0, both tails, and values next to all of them; 3.0 and 20.0 are where pieces meet.
GRID = np.array(
    [
        [-800.0, -40.0, -21.0, -8.0, -3.0, -1.5], [-1.0, -0.5, -1e-3, -1e-9, 0.0, 1e-9],
        [1e-3, 0.5, 1.0, 1.5, 3.0, 8.0], [0.3, -0.7, 20.0, 21.0, 40.0, 800.0],
    ]
)  # fmt: skip

LAYERS = {
    "linear": Layer("Linear", (4, 3)),
    "linear, no bias": Layer("Linear", (4, 3), {"bias": False}),
    "linear, three axes": Layer("Linear", (4, 3), inputs=((2, 5, 4),)),
    "conv1d": Layer("Conv1d", (3, 4, 3), inputs=((2, 3, 9),)),
    "conv1d, all settings": Layer("Conv1d", (4, 6, 3), {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}, inputs=((2, 4, 11),)),
    "conv1d, reflect": Layer("Conv1d", (2, 3, 3), {"padding": 2, "padding_mode": "reflect"}, inputs=((2, 2, 7),)),
    "conv2d": Layer("Conv2d", (2, 3, 3), inputs=((2, 2, 6, 7),)),
    "conv2d, no batch": Layer("Conv2d", (2, 3, 3), inputs=((2, 6, 7),)),
    "conv2d, stride": Layer("Conv2d", (2, 3, (3, 2)), {"stride": (2, 3), "bias": False}, inputs=((2, 2, 7, 8),)),
    "conv2d, padding": Layer("Conv2d", (2, 3, 3), {"padding": (1, 2)}, inputs=((2, 2, 5, 4),)),
    "conv2d, same": Layer("Conv2d", (2, 3, (4, 3)), {"padding": "same"}, inputs=((2, 2, 5, 6),)),
    "conv2d, dilation": Layer("Conv2d", (2, 3, 3), {"dilation": (2, 1)}, inputs=((2, 2, 7, 5),)),
    "conv2d, groups": Layer("Conv2d", (4, 6, 2), {"groups": 2}, inputs=((2, 4, 4, 5),)),
    "conv2d, depthwise": Layer("Conv2d", (3, 6, 3), {"groups": 3, "padding": 1}, inputs=((2, 3, 4, 4),)),
    "conv2d, all settings": Layer(
        "Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (2, 1), "dilation": (1, 2), "groups": 2}, inputs=((2, 4, 7, 6),),
    ),
    "conv2d, 1 by 1": Layer("Conv2d", (3, 2, 1), inputs=((2, 3, 4, 4),)),
    "conv2d, circular": Layer("Conv2d", (2, 2, 3), {"padding": 1, "padding_mode": "circular"}, inputs=((2, 2, 4, 5),)),
    "conv2d, replicate": Layer("Conv2d", (2, 2, 3), {"padding": 1, "padding_mode": "replicate"}, inputs=((2, 2, 4, 5),)),
    "conv_transpose1d": Layer("ConvTranspose1d", (3, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1}, inputs=((2, 3, 5),)),
    "conv_transpose2d": Layer("ConvTranspose2d", (3, 2, 3), inputs=((2, 3, 4, 5),)),
    "conv_transpose2d, stride": Layer(
        "ConvTranspose2d", (3, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1}, inputs=((2, 3, 4, 3),),
    ),
    "conv_transpose2d, all settings": Layer(
        "ConvTranspose2d", (4, 6, (3, 2)),
        {"stride": (2, 1), "padding": (1, 0), "output_padding": (1, 0), "groups": 2, "dilation": (2, 1), "bias": False},
        inputs=((2, 4, 3, 4),),
    ),
    "max_pool1d": Layer("MaxPool1d", (2,), inputs=((2, 3, 7),)),
    "max_pool2d": Layer("MaxPool2d", (2,), inputs=((2, 3, 6, 4),)),
    "max_pool2d, overlapping": Layer("MaxPool2d", (3,), {"stride": 2, "padding": 1}, inputs=((2, 3, 7, 6),)),
    "max_pool2d, all settings": Layer("MaxPool2d", ((3, 2), (2, 1), (1, 0), (1, 2)), {"ceil_mode": True}, inputs=((2, 2, 8, 7),)),
    "max_pool2d, ties": Layer("MaxPool2d", (3, 2), inputs=((2, 3, 7, 7),), ties=True),
    "avg_pool1d": Layer("AvgPool1d", (3,), {"stride": 2, "padding": 1}, inputs=((2, 3, 8),)),
    "avg_pool2d": Layer("AvgPool2d", (2,), inputs=((2, 3, 6, 4),)),
    "avg_pool2d, padding": Layer("AvgPool2d", (3, 2, 1), inputs=((2, 3, 6, 5),)),
    "avg_pool2d, without the padding": Layer(
        "AvgPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}, inputs=((2, 3, 6, 5),),
    ),
    "avg_pool2d, ceil": Layer("AvgPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, inputs=((2, 2, 6, 5),)),
    "avg_pool2d, divisor": Layer("AvgPool2d", (2,), {"divisor_override": 3}, inputs=((2, 3, 4, 4),)),
    "adaptive_avg_pool1d": Layer("AdaptiveAvgPool1d", (3,), inputs=((2, 3, 7),)),
    "adaptive_avg_pool2d": Layer("AdaptiveAvgPool2d", ((2, 3),), inputs=((2, 2, 5, 6),)),
    "flatten": Layer("Flatten", inputs=((2, 3, 4),)),
    "unflatten": Layer("Unflatten", (1, (2, 3)), inputs=((4, 6),)),
    "batch_norm1d, train": Layer("BatchNorm1d", (4,), batches=3),
    "batch_norm1d, eval": Layer("BatchNorm1d", (4,), batches=3, training=False),
    "batch_norm1d, sequences": Layer("BatchNorm1d", (3,), inputs=((2, 3, 5),), batches=3),
    "batch_norm1d, mean of all": Layer("BatchNorm1d", (4,), {"momentum": None, "affine": False}, batches=3),
    "batch_norm1d, no statistics": Layer("BatchNorm1d", (4,), {"track_running_stats": False}, batches=1, training=False),
    "batch_norm2d, train": Layer("BatchNorm2d", (3,), {"eps": 1e-3, "momentum": 0.3}, inputs=((2, 3, 4, 3),), batches=3),
    "batch_norm2d, eval": Layer("BatchNorm2d", (3,), inputs=((2, 3, 4, 3),), batches=3, training=False),
    "layer_norm": Layer("LayerNorm", (4,)),
    "layer_norm, two axes": Layer("LayerNorm", ((3, 4),), {"eps": 1e-3}, inputs=((2, 5, 3, 4),)),
    "layer_norm, plain": Layer("LayerNorm", (4,), {"elementwise_affine": False}),
    "layer_norm, no bias": Layer("LayerNorm", (4,), {"bias": False}),
    "embedding": Layer("Embedding", (7, 3), inputs=((2, 5),), integers=7),
    "embedding, padding": Layer("Embedding", (4, 3), {"padding_idx": 1}, inputs=((3, 5),), integers=4),
    "rnn_cell": Layer("RNNCell", (3, 4), inputs=((5, 3), (5, 4))),
    "rnn_cell, relu": Layer("RNNCell", (3, 4), {"nonlinearity": "relu", "bias": False}, inputs=((5, 3), (5, 4))),
    "rnn_cell, from zeros": Layer("RNNCell", (3, 4), inputs=((5, 3),)),
    "lstm_cell": Layer("LSTMCell", (3, 4), inputs=((5, 3), (5, 4), (5, 4)), pair=True),
    "lstm_cell, no bias": Layer("LSTMCell", (3, 4), {"bias": False}, inputs=((5, 3), (5, 4), (5, 4)), pair=True),
    "gru_cell": Layer("GRUCell", (3, 4), inputs=((5, 3), (5, 4))),
    "rnn": Layer("RNN", (3, 4), inputs=((6, 2, 3), (1, 2, 4))),
    "rnn, two layers": Layer("RNN", (3, 4, 2), {"nonlinearity": "relu", "batch_first": True}, inputs=((2, 6, 3), (2, 2, 4))),
    "lstm": Layer("LSTM", (3, 4), inputs=((6, 2, 3), (1, 2, 4), (1, 2, 4)), pair=True),
    "lstm, both ways": Layer("LSTM", (3, 2, 2), {"bidirectional": True, "batch_first": True}, inputs=((2, 5, 3),)),
    "gru": Layer("GRU", (3, 4), {"bias": False}, inputs=((6, 2, 3), (1, 2, 4))),
    "relu": Layer("ReLU", grid=True),
    "leaky_relu": Layer("LeakyReLU", grid=True),
    "leaky_relu, slope": Layer("LeakyReLU", (0.3,), grid=True),
    "elu": Layer("ELU", grid=True),
    "elu, alpha": Layer("ELU", (1.7,), grid=True),
    "gelu": Layer("GELU", grid=True),
    "gelu, tanh": Layer("GELU", keywords={"approximate": "tanh"}, grid=True),
    "silu": Layer("SiLU", grid=True),
    "tanh": Layer("Tanh", grid=True),
    "sigmoid": Layer("Sigmoid", grid=True),
    "softplus": Layer("Softplus", grid=True),
    "softplus, settings": Layer("Softplus", (2.0, 5.0), grid=True),
    "softmax": Layer("Softmax", keywords={"dim": 1}, grid=True),
    "softmax, first axis": Layer("Softmax", (0,)),
    "log_softmax": Layer("LogSoftmax", (-1,), grid=True),
    "log_softmax, middle": Layer("LogSoftmax", (1,), inputs=((2, 3, 4),)),
    "identity": Layer("Identity"),
}  # fmt: skip


class Loss(NamedTuple):
    """A loss by our name, what PyTorch calls it, keywords that both take, and the data: see `data`."""

    name: str
    torch: str
    data: str
    keywords: dict[str, Any] = {}  # noqa: RUF012
    arrays: tuple[str, ...] = ()  # keywords whose values are in the data
    twice: bool = True  # whether PyTorch has a second derivative


def _losses() -> dict[str, Loss]:
    rows = [
        Loss("mse", "mse_loss", "numbers"),
        Loss("l1", "l1_loss", "numbers"),
        Loss("huber", "huber_loss", "numbers"),
        Loss("huber", "huber_loss", "numbers", {"delta": 0.4}),
        Loss("smooth_l1", "smooth_l1_loss", "numbers"),
        Loss("smooth_l1", "smooth_l1_loss", "numbers", {"beta": 0.4}),
        Loss("smooth_l1", "smooth_l1_loss", "numbers", {"beta": 0.0}),
        Loss("bce", "binary_cross_entropy", "probabilities"),
        Loss("bce", "binary_cross_entropy", "probabilities", arrays=("weight",)),
        Loss("bce_with_logits", "binary_cross_entropy_with_logits", "logits"),
        Loss("bce_with_logits", "binary_cross_entropy_with_logits", "logits", arrays=("weight",)),
        Loss("bce_with_logits", "binary_cross_entropy_with_logits", "logits", arrays=("pos_weight",)),
        Loss("bce_with_logits", "binary_cross_entropy_with_logits", "logits", arrays=("weight", "pos_weight")),
        Loss("kl_div", "kl_div", "distributions"),
        Loss("kl_div", "kl_div", "logarithms", {"log_target": True}),
        Loss("hinge", "hinge", "signs"),
        Loss("hinge", "hinge", "signs", {"margin": 0.5}),
        Loss("multi_margin", "multi_margin_loss", "labels", twice=False),
        Loss("multi_margin", "multi_margin_loss", "labels", {"p": 2, "margin": 0.5}, ("weight",), twice=False),
        Loss("nll", "nll_loss", "log_rows"),
        Loss("nll", "nll_loss", "log_rows", {"ignore_index": 1}, ("weight",)),
        Loss("nll", "nll_loss", "maps", arrays=("weight",)),
        Loss("cross_entropy", "cross_entropy", "one_row"),
        Loss("cross_entropy", "cross_entropy", "maps", {"label_smoothing": 0.1}, ("weight",)),
        Loss("cross_entropy", "cross_entropy", "class_maps", {"label_smoothing": 0.1}, ("weight",)),
    ]
    for smoothing in (0.0, 0.2):
        for arrays in ((), ("weight",)):
            keywords = {"label_smoothing": smoothing}
            rows.append(Loss("cross_entropy", "cross_entropy", "labels", keywords, arrays))
            rows.append(Loss("cross_entropy", "cross_entropy", "labels", {**keywords, "ignore_index": 2}, arrays))
            rows.append(Loss("cross_entropy", "cross_entropy", "class_probabilities", keywords, arrays))
    found = {}
    for row in rows:
        for reduction in ("mean", "sum", "none", *(("batchmean",) if row.name == "kl_div" else ())):
            said = [row.data, *(f"{key} {value}" for key, value in row.keywords.items()), *row.arrays, reduction]
            found[f"{row.name}: {', '.join(said)}"] = row._replace(keywords={**row.keywords, "reduction": reduction})
    return found


LOSSES = _losses()


def softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def data(name: str) -> dict[str, Any]:
    """Input, target, and what keywords take: differences at kinks, logits in both tails, labels that repeat.

    Probabilities keep away from 0 and 1, where PyTorch adds 1e-12 to p (1 - p) in second derivatives.
    """
    draw = np.random.default_rng(sum(map(ord, name)))
    x, t = draw.normal(size=(6, 4)), draw.normal(size=(6, 4))
    x[0], x[1], x[2] = t[0], t[1] + 2.5, t[2] - 0.2
    logits = 3 * draw.normal(size=(6, 4))
    logits[0], logits[1, 0], logits[2, 3] = 0.0, 60.0, -60.0
    weight, labels = draw.uniform(0.2, 2.0, 4), np.array([0, 1, 2, 3, 1, 2])
    p = softmax(draw.normal(size=(6, 4)))
    maps, map_labels = 2 * draw.normal(size=(2, 4, 3, 2)), draw.integers(0, 4, (2, 3, 2))
    kinds = {
        "numbers": {"input": x, "target": t},
        "probabilities": {
            "input": draw.uniform(0.05, 0.95, (6, 4)), "target": np.round(draw.random((6, 4)), 1), "weight": draw.random((6, 1)),
        },
        "logits": {"input": logits, "target": np.round(draw.random((6, 4)), 1), "weight": draw.random((6, 4)), "pos_weight": weight},
        "distributions": {"input": np.log(softmax(logits)), "target": p},
        "logarithms": {"input": np.log(softmax(logits)), "target": np.log(p)},
        "signs": {"input": x, "target": np.sign(t)},
        "labels": {"input": logits, "target": labels, "weight": weight},
        "log_rows": {"input": np.log(softmax(logits)), "target": labels, "weight": weight},
        "class_probabilities": {"input": logits, "target": p, "weight": weight},
        "one_row": {"input": logits[1], "target": np.array(2)},
        "maps": {"input": maps, "target": map_labels, "weight": weight},
        "class_maps": {"input": maps, "target": softmax(draw.normal(size=(2, 4, 3, 2))), "weight": weight},
    }  # fmt: skip
    return kinds[name]
