"""A good learning rate, found by its gradient: the validation loss after a whole training, differentiated by the rate.

What to notice: the update rule is a pure function, so training is an expression like any other. A hundred steps are one
loop of the graph, its derivative is again a loop, and both are one compiled program. The rate is searched by its
logarithm, with Adam, which is such a rule too. A sweep over many rates shows how near the best one is.

Prints::

    rate 0.00010: validation loss 0.6
    by the logarithm of the rate: reverse
                                  forward
                                  differences
    after 30 trainings: rate 0.
    best of 40 rates tried one by one: rate 0.
"""

import numpy as np

import compgraph as cg
from optim.rules import adam, sgd, start_adam, start_sgd

STEPS, BATCH, MOMENTUM = 100, 32, 0.9


def moons(draw, count):
    """Two half circles that reach into one another, and which of them each point is on."""
    kind = draw.integers(0, 2, count)
    angle = np.pi * draw.uniform(size=count)
    points = np.stack([np.cos(angle) + kind, (1 - 2 * kind) * np.sin(angle) + 0.5 * kind], axis=1)
    return points + 0.15 * draw.normal(size=points.shape), kind.astype(float)


def loss_of(layers, points, kind):
    """The cross-entropy of the probability 1 / (1 + exp(-score))."""
    hidden = np.tanh(points @ layers["w1"] + layers["b1"])
    score = hidden @ layers["w2"] + layers["b2"]
    return np.mean(cg.softplus(score) - kind * score)


if __name__ == "__main__":
    draw = np.random.default_rng(0)
    start = {"w1": draw.normal(size=(2, 16)), "b1": np.zeros(16), "w2": 0.1 * draw.normal(size=16), "b2": np.zeros(())}
    parameters, unravel = cg.ravel(start)
    points, kinds = moons(draw, STEPS * BATCH)
    batches = points.reshape(STEPS, BATCH, 2), kinds.reshape(STEPS, BATCH)
    unseen = moons(draw, 400)

    def validation(log_rate):
        """The loss on unseen points after one training at this rate."""

        def step(carry, batch):
            p, state = carry
            gradient = cg.grad(lambda p: loss_of(unravel(p), *batch))(p)
            return sgd(p, gradient, state, lr=np.exp(log_rate), momentum=MOMENTUM), None

        (trained, _), _ = cg.scan(step, (parameters, start_sgd(parameters, momentum=MOMENTUM)), batches)
        return loss_of(unravel(trained), *unseen)

    value_and_slope = cg.compile(cg.value_and_grad(validation))
    log_rate = np.log(1e-4)
    value, slope = value_and_slope(log_rate)
    tangent = cg.jvp(validation, (log_rate,), (1.0,))[1]
    quotient = (validation(log_rate + 1e-5) - validation(log_rate - 1e-5)) / 2e-5
    print(f"rate {np.exp(log_rate):.5f}: validation loss {value:.3f}")
    print(f"by the logarithm of the rate: reverse     {slope:.10f}")
    print(f"                              forward     {tangent:.10f}")
    print(f"                              differences {quotient:.10f}")

    state, best = start_adam(log_rate), (value, log_rate)
    for _ in range(30):
        log_rate, state = adam(log_rate, slope, state, lr=0.5)
        value, slope = value_and_slope(log_rate)
        best = min(best, (value, log_rate))
    print(f"after 30 trainings: rate {np.exp(best[1]):.3f}, validation loss {best[0]:.4f}")
    tried = [(validation(log_rate), np.exp(log_rate)) for log_rate in np.log(np.geomspace(1e-4, 10.0, 40))]
    print(f"best of 40 rates tried one by one: rate {min(tried)[1]:.3f}, validation loss {min(tried)[0]:.4f}")
