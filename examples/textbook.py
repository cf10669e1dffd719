"""The lecture's example in both modes: f(x1, x2) = (exp(x1/x2) + x1/x2) * (x1/x2 - ln x2) at (0.5, 1).

What to notice: forward mode takes a sweep for each input, reverse mode one sweep for both.

Prints::

    f        = 1.0743606
    df/dx1   = 3.4730819 forward, 3.4730819 reverse
    df/dx2   = -3.8852622 forward, -3.8852622 reverse
    sweeps   = 2 forward, 1 reverse
"""

import compgraph as cg

graph = cg.parse("(exp(x1/x2) + x1/x2) * (x1/x2 - ln(x2))")
output = graph.outputs[0]
forward = {name: cg.evaluate(graph, 0.5, 1.0, mode="forward", seed=name).tangents[output] for name in ("x1", "x2")}
reverse = cg.evaluate(graph, 0.5, 1.0, mode="reverse")

print(reverse.table(), end="\n\n")
print(f"f        = {reverse.values[output]:.7f}")
for node in graph.inputs:
    print(f"df/d{node.name}   = {forward[node.name]:.7f} forward, {reverse.adjoints[node]:.7f} reverse")
print("sweeps   = 2 forward, 1 reverse")
