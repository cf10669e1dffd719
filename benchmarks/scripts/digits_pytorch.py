"""Train a 64-64-10 network on the handwritten digits and print its accuracy on the examples held out: PyTorch."""

import gzip
import sys

import numpy as np
import torch
from torch import nn

path, epochs = sys.argv[1], int(sys.argv[2])
with gzip.open(path, "rt") as file:
    table = np.loadtxt(file, delimiter=",")
order = np.random.default_rng(0).permutation(len(table))
X, y = torch.tensor(table[order, :-1] / 16, dtype=torch.float32), torch.tensor(table[order, -1], dtype=torch.int64)
inputs, labels = X[360:], y[360:]

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
loss_function, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(epochs):
    shuffled = torch.randperm(len(inputs))
    for batch in shuffled.split(32):  # quicker than a DataLoader, which collates example by example
        optimizer.zero_grad()
        loss = loss_function(model(inputs[batch]), labels[batch])
        loss.backward()
        optimizer.step()
with torch.no_grad():
    print((model(X[:360]).argmax(1) == y[:360]).float().mean().item())
