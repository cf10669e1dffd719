"""Train a 64-64-10 network on the handwritten digits and print its accuracy on the examples held out: compgraph."""

import gzip
import sys

import numpy as np

import optim
from compgraph import nn

path, epochs = sys.argv[1], int(sys.argv[2])
with gzip.open(path, "rt") as file:
    table = np.loadtxt(file, delimiter=",")
order = np.random.default_rng(0).permutation(len(table))
X, y = (table[order, :-1] / 16).astype(np.float32), table[order, -1].astype(np.int64)

nn.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optim.fit(
    model, (X[360:], y[360:]), loss=nn.cross_entropy, optimizer=optim.Adam(model.parameters(), lr=3e-3),
    epochs=epochs, batch_size=32, progress=False,
)  # fmt: skip
print(np.mean(model(X[:360]).value.argmax(1) == y[:360]))
