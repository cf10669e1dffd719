"""Layers, losses and models, with PyTorch's names and defaults: `from compgraph import nn`."""

from __future__ import annotations

from compgraph.nn import initialisers as init
from compgraph.nn.activations import ELU, GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from compgraph.nn.autoencoders import Autoencoder, DenoisingAutoencoder, VariationalAutoencoder, normal_divergence
from compgraph.nn.char_rnn import CharRNN
from compgraph.nn.cnn import CNN
from compgraph.nn.containers import MLP, ModuleList, Sequential
from compgraph.nn.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, conv1d, conv2d, conv_transpose1d, conv_transpose2d
from compgraph.nn.dropout import Dropout, Dropout1d, Dropout2d
from compgraph.nn.embedding import Embedding
from compgraph.nn.exporting import to_onnx
from compgraph.nn.label_losses import check_labels, cross_entropy, multi_margin, nll
from compgraph.nn.linear import Identity, Linear
from compgraph.nn.losses import bce, bce_with_logits, hinge, huber, kl_div, l1, mse, smooth_l1
from compgraph.nn.module import Module
from compgraph.nn.normalisation import BatchNorm1d, BatchNorm2d, LayerNorm
from compgraph.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from compgraph.nn.randomness import generator, manual_seed, normal, uniform, using
from compgraph.nn.rbm import RBM
from compgraph.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from compgraph.nn.regression import LinearRegression, LogisticRegression
from compgraph.nn.shaping import Flatten, Unflatten
from compgraph.nn.substitution import functional_call

__all__ = [
    "CNN", "ELU", "GELU", "GRU", "LSTM", "MLP", "RBM", "RNN", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "Autoencoder", "AvgPool1d",
    "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "CharRNN", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d",
    "DenoisingAutoencoder", "Dropout", "Dropout1d", "Dropout2d", "Embedding", "Flatten", "GRUCell", "Identity", "LSTMCell", "LayerNorm",
    "LeakyReLU", "Linear", "LinearRegression", "LogSoftmax", "LogisticRegression", "MaxPool1d", "MaxPool2d", "Module", "ModuleList",
    "RNNCell", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh", "Unflatten", "VariationalAutoencoder",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "bce", "bce_with_logits", "check_labels", "conv1d",
    "conv2d", "conv_transpose1d", "conv_transpose2d", "cross_entropy", "functional_call", "generator", "hinge", "huber", "init", "kl_div",
    "l1", "manual_seed", "max_pool1d", "max_pool2d", "mse", "multi_margin", "nll", "normal", "normal_divergence", "smooth_l1", "to_onnx",
    "uniform", "using",
]  # fmt: skip
