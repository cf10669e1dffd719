"""`fit`: the training loop with what people expect of one.

>>> import numpy as np, optim
>>> from compgraph import nn
>>> draw = np.random.default_rng(0)
>>> X = draw.normal(size=(200, 2)).astype(np.float32)
>>> y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)
>>> model = nn.Sequential(nn.Linear(2, 16, generator=0), nn.Tanh(), nn.Linear(16, 2, generator=1))
>>> optimizer = optim.Adam(model.parameters(), lr=0.05)
>>> history = fit(model, (X, y), loss=nn.cross_entropy, optimizer=optimizer, epochs=40, validation=0.2, metrics="accuracy")
>>> len(history), history.last["val_accuracy"] > 0.9
(40, True)

The loop written out is `for X, y in batches: step(X, y)` with a `train_step`; what is here beside it is sampling, measuring, and
being able to stop and go on at any step. The same seed gives the same bits, whether or not the run was interrupted.
"""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import compgraph as cg
from compgraph import nn
from optim.checkpoints import Checkpointer
from optim.evaluation import Metric, evaluate, metrics_of, mode_of, prediction
from optim.feed import Arrays, Feed, Part, Stream, check_batch_size, check_labels, cut_off, dtypes_for, feed_of
from optim.history import History, Log
from optim.interrupts import BetweenSteps, Interrupts
from optim.lr_scheduler import CyclicLR, OneCycleLR
from optim.plateau import ReduceLROnPlateau
from optim.progress import Progress, wanted
from optim.resuming import check_same, settings_of
from optim.samplers import MiniBatches
from optim.schedules import check_choice, check_count
from optim.step import TrainStep, train_step
from optim.stopping import EarlyStopping


def fit(
    model: Any,
    data: Any,
    *,
    loss: Callable[[Any, Any], Any],
    optimizer: Any,
    epochs: int,
    batch_size: int | None = 32,
    validation: Any = None,
    metrics: Metric | Sequence[Metric] = (),
    early_stopping: int | EarlyStopping | None = None,
    scheduler: Any = None,
    schedule_every: str | None = None,
    seed: int | None = 0,
    shuffle: bool = True,
    order: Any = None,
    drop_last: bool = False,
    accumulate: int = 1,
    clip_grad_norm: float | None = None,
    clip_grad_value: float | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    grad_noise: float | tuple[float, float] | None = None,
    augment: Callable[[Any, np.random.Generator], Any] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    target: str | None = "numpy",
    exact: bool = False,
    progress: bool | None = None,
    log: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callable[[Run], Any]] = (),
) -> History:
    """Train `model` for `epochs` passes over `data`; the `History` of the run.

    - `data`: (X, y); X alone, which is its own target; a source with `len(source)` and `source[indices]` -> (X, y); or an
      iterable of batches (X, y), or a function that makes one for each epoch. Floats are cast to the model's dtype.
    - `batch_size`: 32 by default, None for all examples (full batch), 1 for stochastic descent. The last batch of an epoch is
      smaller where they do not divide, or left out with `drop_last`. `shuffle` draws a new order each epoch.
    - `order`: a number for each example, or a function of (X, y) that gives them: easy ones first, a curriculum.
    - `validation`: a fraction that is held out, or data; gives "val_loss" and "val_" of each of `metrics`: "accuracy", "mae",
      "rmse", "r2", or functions of (outputs, targets). Without validation the metrics are of the training data.
    - `early_stopping`: a patience in epochs, or an `EarlyStopping`; the best weights are restored.
    - `scheduler`: one of `optim.lr_scheduler`, stepped after each epoch, or after each step where `schedule_every="step"` and by
      default for those that are made for it, `OneCycleLR` and `CyclicLR`. `ReduceLROnPlateau` gets the (validation) loss.
    - `accumulate`, `clip_grad_norm`, `clip_grad_value`, `l1`, `l2`, `grad_noise`, `target`, `exact`: as in `optim.train_step`.
    - `augment`: a function of a batch X and a generator, as in `optim.augmentation`; targets stay.
    - `seed`: of the order, the split, dropout, noise and augmentation; None for another each time. Not of the first weights.
    - `checkpoint`: a folder. The run is saved after each epoch and each `checkpoint_every` steps; the same call with the same
      folder goes on from there, bit for bit, and returns at once where the run is over.
    - `progress`: a line on the terminal; by default where somebody looks on. `log`: a file with a line of JSON for each epoch.
    - `callbacks`: functions of the `Run`, called after each epoch; a true result ends the run.

    Data and arguments are looked at first: what does not fit raises, with nothing changed. Ctrl-C ends the run after the step it is
    in, says so, and returns what there is. The model is in `train()` meanwhile and then as it was before.
    """
    step = train_step(
        model, loss, optimizer, target=target, accumulate=accumulate, clip_grad_norm=clip_grad_norm, clip_grad_value=clip_grad_value,
        l1=l1, l2=l2, grad_noise=grad_noise, generator=np.random.default_rng(), exact=exact,
    )  # fmt: skip
    check_count("epochs", epochs)
    if checkpoint_every is not None:
        check_count("checkpoint_every", checkpoint_every)
        if checkpoint is None:
            raise cg.InputError(f"checkpoint_every needs a folder: checkpoint='run/'{cg.here()}")
    if augment is not None and not callable(augment):
        raise cg.InputError(f"augment is a function of a batch and a generator, not {augment!r:.40}{cg.here()}")
    if seed is not None:
        check_count("seed", seed, least=0)
    run = Run(step, epochs, seed)
    run.feed, run.validation = _feeds(data, validation, run.generators["split"])
    run.metrics = metrics_of(metrics)
    run.stopping = _stopping(early_stopping)
    run.check_monitor()
    run.set_scheduler(scheduler, schedule_every)
    run.set_sampler(check_batch_size(batch_size, run.feed.size), shuffle, drop_last, order)
    run.augment, run.callbacks = augment, (callbacks,) if callable(callbacks) else tuple(callbacks)
    run.look_at_data()
    if checkpoint is not None:
        if seed is None and isinstance(run.validation, Part) and run.validation.whole is getattr(run.feed, "whole", None):
            raise cg.InputError(f"seed=None would hold out other examples when the run goes on from its checkpoint: say a seed{cg.here()}")
        run.settings = settings_of(
            run, seed=seed, shuffle=bool(shuffle), drop_last=bool(drop_last), schedule_every=run.schedule_every,
            clip_grad_norm=clip_grad_norm, clip_grad_value=clip_grad_value, l1=l1, l2=l2, grad_noise=grad_noise,
        )  # fmt: skip
    show = wanted(progress)
    run.log = None if log is None else Log(log)
    run.checkpointer, run.checkpoint_every = None if checkpoint is None else Checkpointer(checkpoint), checkpoint_every
    return run.go(show)


class Run:
    """A run under way, as callbacks see it: `model`, `optimizer`, `history`, `epoch` (from 1), `step` (a `TrainStep`)."""

    def __init__(self, step: TrainStep, epochs: int, seed: int | None) -> None:
        self.step, self.model, self.optimizer, self.loss = step, step.model, step.optimizer, step.loss
        self.epochs = int(epochs)
        names = ("order", "split", "model", "augment")
        streams = np.random.SeedSequence(seed).spawn(len(names))
        self.generators = {name: np.random.default_rng(stream) for name, stream in zip(names, streams, strict=True)}
        step._generator = self.generators["model"]
        self.history = History()
        self.feed: Feed
        self.validation: Feed | None = None
        self.sampler: MiniBatches | None = None
        self.metrics: dict[str, Any] = {}
        self.stopping: EarlyStopping | None = None
        self.scheduler: Any = None
        self.schedule_every = "epoch"
        self.augment: Any = None
        self.callbacks: tuple[Any, ...] = ()
        self.log: Log | None = None
        self.checkpointer: Checkpointer | None = None
        self.checkpoint_every: int | None = None
        self.settings: dict[str, Any] = {}  # kept in checkpoints
        self.done = 0  # epochs
        self.position = 0  # batches of the present epoch
        self.total = 0.0  # of the losses of its examples
        self.seen = 0  # examples
        self.before = 0.0  # seconds of it that were spent before this process
        self.ended = False

    @property
    def epoch(self) -> int:
        """The number of the epoch that is under way, or in a callback the one that is just over, from 1."""
        return self.done + (self.position > 0)

    # ------------------------------------------------------------------------------------------- beginning

    def check_monitor(self) -> None:
        """Raise where early stopping looks at what no epoch will have."""
        measured = [f"val_{name}" for name in ("loss", *self.metrics)] if self.validation is not None else list(self.metrics)
        name = None if self.stopping is None else self.stopping.monitor
        if name is not None and name not in ("loss", *measured):
            raise cg.InputError(f"early stopping monitors {name!r}, but an epoch has {', '.join(('loss', *measured))}{cg.here()}")

    def set_scheduler(self, scheduler: Any, every: str | None) -> None:
        if scheduler is None:
            return
        if getattr(scheduler, "optimizer", None) is not self.optimizer:
            raise cg.InputError(f"scheduler has to be a scheduler of this optimizer, not {scheduler!r:.60}{cg.here()}")
        per_step = isinstance(scheduler, (OneCycleLR, CyclicLR))
        self.scheduler, self.schedule_every = scheduler, every or ("step" if per_step else "epoch")
        check_choice("schedule_every", self.schedule_every, ("epoch", "step"))

    def set_sampler(self, batch_size: int, shuffle: bool, drop_last: bool, order: Any) -> None:
        feed = self.feed
        if isinstance(feed, Stream):
            if order is not None:
                raise cg.InputError(f"order is for data that can be indexed; a stream of batches has its own{cg.here()}")
            return
        if callable(order):
            whole = feed.whole if isinstance(feed, Part) else feed
            order = order(whole.X, whole.y)
        if order is not None:
            whole_size = feed.whole.size if isinstance(feed, Part) else feed.size
            key = np.asarray(order)
            if key.shape != (whole_size,):
                raise cg.InputError(f"order has a number for each of the {whole_size} examples; this has shape {key.shape}{cg.here()}")
            order = key[feed.indices] if isinstance(feed, Part) else key
        self.sampler = MiniBatches(
            feed.size, batch_size, shuffle=shuffle, drop_last=drop_last, key=order, generator=self.generators["order"]
        )  # fmt: skip

    def look_at_data(self) -> None:
        """Find the dtypes, and run each kind of batch on shapes alone, so that what does not fit is said before anything changes."""
        if isinstance(self.feed, Stream):
            return  # nothing of it can be seen without taking it away; the first batch says the dtypes
        for feed in (self.feed, self.validation):
            if feed is None or isinstance(feed, Stream):
                continue
            arrays = feed.whole if isinstance(feed, Part) else feed
            if arrays.casts == (None, None):
                X, y = feed.at(np.arange(min(2, feed.size)))
                arrays.cast(dtypes_for(self.model, self.loss, X, y))
            X, y = feed.at(np.arange(1))
            if arrays.source is None:
                check_labels(self.loss, self._columns(X), arrays.y)
        sampler = self.sampler
        assert sampler is not None  # of a feed that is no stream
        rest = 0 if sampler.drop_last else sampler.size % sampler.batch_size
        with mode_of(self.model, training=True):
            for size in (sampler.batch_size, rest):
                if size:
                    self.step.rehearse(*self.feed.at(np.arange(size)))

    def _columns(self, X: Any) -> int:
        with mode_of(self.model, training=False), cg.no_grad(), nn.using(np.random.default_rng(0)):
            output = nn.functional_call(self.model, {}, X)[0]
        shape = np.shape(prediction(output))
        return int(shape[1]) if len(shape) > 1 else 1

    # ------------------------------------------------------------------------------------------- the loop

    def go(self, show: bool) -> History:
        if self.stopping is not None:
            self.stopping.reset()
        self._resume()
        if self.log is not None:
            self.log.begin(self.history.epochs)
        per_epoch = len(self.sampler) if self.sampler is not None else getattr(self.feed, "count", None)
        total = None if per_epoch is None else per_epoch * self.epochs
        shown = Progress(show, total, self.epochs, self.step.steps)
        with mode_of(self.model, training=True), shown as progress, Interrupts() as interrupts:
            try:
                while self.done < self.epochs and not self.ended:
                    self._epoch(progress, interrupts)
            except KeyboardInterrupt as interrupt:
                self.history.interrupted = True
                if isinstance(interrupt, BetweenSteps):  # otherwise a step may be half done, and the last checkpoint stays
                    self._save()
        self._finish()
        return self.history

    def _epoch(self, progress: Progress, interrupts: Interrupts) -> None:
        began = time.perf_counter() - self.before
        step, steps, group = self.step, self.history._steps, self.optimizer.param_groups[0]
        add_loss, add_rate, add_norm = (steps[name].append for name in ("loss", "lr", "grad_norm"))
        every, number = self.checkpoint_every, self.done + 1
        by_step = self.scheduler is not None and self.schedule_every == "step"
        augment, shown = self.augment, progress.bar is not None
        for X, y in self._batches():
            rate = group["lr"]
            loss = step(X if augment is None else _in_dtype_of(X, augment(X, self.generators["augment"])), y)
            add_loss(loss)
            add_rate(rate)
            add_norm(step.grad_norm)
            count = len(y)
            self.total += loss * count
            self.seen += count
            self.position += 1
            if by_step:
                self._schedule(loss)
            if shown:
                progress.step(number, loss)
            if every is not None and step.steps % every == 0:
                self.before = time.perf_counter() - began
                self._save()
            if interrupts.asked:
                self.before = time.perf_counter() - began
                raise BetweenSteps
        self._measure(steps["lr"][-1], time.perf_counter() - began, progress)  # a resumed epoch may have no batch left

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        """The batches that are left of this epoch."""
        if self.sampler is not None:
            assert not isinstance(self.feed, Stream)
            return self.feed.batches(self.sampler.whole_epoch(), self.sampler.batch_size, self.position)
        return self._streamed()

    def _streamed(self) -> Iterator[tuple[Any, Any]]:
        assert isinstance(self.feed, Stream)
        for number, (X, y) in enumerate(self.feed):
            if number < self.position:
                continue
            if self.feed.casts == (None, None) and self.step.steps == 0:
                self.feed.cast(dtypes_for(self.model, self.loss, X, y))
                X, y = (one if to is None else one.astype(to) for one, to in zip((X, y), self.feed.casts, strict=True))
            yield X, y

    def _measure(self, rate: float, seconds: float, progress: Progress) -> None:
        """What belongs to the end of an epoch."""
        row: dict[str, float] = {"epoch": self.done + 1, "step": self.step.steps, "loss": self.total / self.seen}
        if self.validation is not None:
            found = evaluate(self.model, _all_of(self.validation), self.loss, self.metrics)
            row |= {f"val_{name}": value for name, value in found.items()}
        elif self.metrics:
            found = evaluate(self.model, _all_of(self.feed), self.loss, self.metrics)
            row |= {name: value for name, value in found.items() if name != "loss"}
        row |= {"lr": float(rate), "seconds": seconds}
        self.history.add_epoch(row)
        self.done, self.position, self.total, self.seen, self.before = self.done + 1, 0, 0.0, 0, 0.0
        if self.scheduler is not None and self.schedule_every == "epoch":
            self._schedule(row.get("val_loss", row["loss"]))
        if self.log is not None:
            self.log.write(row)
        progress.epoch(self.done, row)
        if self.stopping is not None:
            self._consider_stopping(row)
        for callback in self.callbacks:
            if callback(self):
                self.ended, self.history.stopped = True, f"stopped by a callback after epoch {self.done}"
            self.model.train()  # whatever it was used for there
        self.sampler_state = self.sampler.state_dict() if self.sampler is not None else None
        self._save()

    def _schedule(self, measure: float) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(measure)
        else:
            self.scheduler.step()

    def _consider_stopping(self, row: dict[str, float]) -> None:
        stopping = self.stopping
        assert stopping is not None
        name = stopping.monitor or ("val_loss" if "val_loss" in row else "loss")
        if stopping.update(self.done, row[name], self.model.state_dict()):
            self.ended = True
            best = f"no improvement on {name} {stopping.best:.4g} of epoch {stopping.best_epoch} in {stopping.patience} epochs"
            best = f"{name} was never finite" if stopping.best_epoch is None else best
            self.history.stopped = f"stopped after epoch {self.done}: {best}"

    def _finish(self) -> None:
        stopping = self.stopping
        if stopping is not None and stopping.weights is not None:
            self.model.load_state_dict(stopping.weights)
            self.history.best_epoch = stopping.best_epoch
        if self.history.interrupted:
            where = f"epoch {self.epoch} of {self.epochs}, after {self.step.steps} steps"
            print(f"interrupted in {where}; the history so far is returned", file=sys.stderr)

    # ------------------------------------------------------------------------------------- stopping and going on

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the run depends on, as nested dicts of arrays and plain values."""
        stopping = self.stopping
        return {
            "run": self.settings, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "sampler": self.sampler_state, "step": self.step.state_dict(),
            "generators": {name: copy.deepcopy(dict(self.generators[name].bit_generator.state)) for name in ("model", "augment")},
            "history": self.history.state_dict(), "early_stopping": None if stopping is None else stopping.state_dict(),
            "place": {
                "done": self.done, "position": self.position, "total": self.total, "seen": self.seen, "before": self.before,
                "ended": self.ended,
            },
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict()` was taken; a state of another run is refused, and model and optimizer are as they were."""
        if not isinstance(state, dict) or set(state) != set(self.state_dict()):
            raise cg.InputError(f"this is no state of a run of fit{cg.here()}")
        check_same(state["run"], self.settings, state["optimizer"]["param_groups"])
        kept = self.model.state_dict(), self.optimizer.state_dict()
        parts = [("early_stopping", self.stopping), ("scheduler", self.scheduler), ("sampler", self.sampler)]
        try:
            for name, part in parts:
                if (part is None) != (state[name] is None):
                    raise cg.InputError(f"the saved run has {'no' if state[name] is None else 'a'} {name.replace('_', ' ')}{cg.here()}")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            for name, part in [*parts, ("step", self.step), ("history", self.history)]:
                if part is not None:
                    part.load_state_dict(state[name])
            for name, generator_state in state["generators"].items():
                self.generators[name].bit_generator.state = generator_state
            for name, value in state["place"].items():
                setattr(self, name, value)
        except Exception:
            self.model.load_state_dict(kept[0])
            self.optimizer.load_state_dict(kept[1])
            raise

    def _save(self) -> None:
        if self.checkpointer is not None:
            self.checkpointer.save(self.state_dict(), self.step.steps)

    def _resume(self) -> None:
        self.sampler_state = self.sampler.state_dict() if self.sampler is not None else None
        found = None if self.checkpointer is None else self.checkpointer.latest()
        if found is None:
            return
        assert self.checkpointer is not None
        try:
            self.load_state_dict(found[0])
        except cg.CompgraphError as error:
            raise cg.InputError(
                f"the checkpoint in {self.checkpointer.folder} is of another run: {error}. Use another folder, or the arguments of that "
                f"run{cg.here()}"
            ) from error
        self.history.interrupted = False
        self.sampler_state = found[0]["sampler"]
        if isinstance(self.feed, Stream) and self.step.steps:
            self.feed.cast(_stream_dtypes(self.feed, self.model, self.loss))


def _feeds(data: Any, validation: Any, generator: np.random.Generator) -> tuple[Feed, Feed | None]:
    feed = feed_of(data)
    if validation is None:
        return feed, None
    if isinstance(validation, (int, float, np.number)):
        if not isinstance(feed, Arrays):
            raise cg.InputError(f"validation={validation} cuts data that are indexed; with a stream pass data of its own{cg.here()}")
        return cut_off(feed, float(validation), generator)
    other = feed_of(validation)
    if isinstance(other, Stream) and other.once:
        raise cg.InputError(f"validation is read after each epoch: pass a function that makes the generator{cg.here()}")
    return feed, other


def _in_dtype_of(X: Any, changed: Any) -> Any:
    """What an augmentation gave, as noise of NumPy's float64 would make it, in the dtype of the model."""
    dtype = getattr(changed, "dtype", X.dtype)
    return changed.astype(X.dtype) if dtype != X.dtype and dtype.kind == X.dtype.kind == "f" else changed


def _all_of(feed: Feed) -> Iterator[tuple[Any, Any]]:
    if isinstance(feed, Stream):
        return iter(feed)
    size = feed.size
    return (feed.at(np.arange(start, min(start + 1024, size))) for start in range(0, size, 1024))


def _stream_dtypes(feed: Stream, model: Any, loss: Any) -> tuple[Any, Any]:
    """Those of a run that goes on, of a stream that can be read again."""
    if feed.once:
        return (next((p.dtype for p in model.parameters()), None), None)
    X, y = next(iter(feed))
    return dtypes_for(model, loss, X, y)


def _stopping(given: int | EarlyStopping | None) -> EarlyStopping | None:
    if given is None or isinstance(given, EarlyStopping):
        return given
    return EarlyStopping(given)


__all__ = ["Run", "fit"]
