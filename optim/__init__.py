"""Optimizers, schedules and training for compgraph models."""

__all__: list[str] = []
