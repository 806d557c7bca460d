"""The course of a training: rows for history.csv, and lines for who waits for it."""

import sys
import time

import torch
from torch import Tensor

from pipeline.errors import InputError

ROWS = 1000  # history.csv holds at most this many, each the mean over its steps
NORM = "grad_norm"  # of each step, before clipping; no loss
FINAL = 100  # final losses are means over at most this many last steps, and a tenth of all


class History:
    """Collects the terms of every step on the device and reads them together.

    Reading a number waits for the device, so it happens every `period` steps; a loss that is
    not finite is found then, and named with its step and term.
    """

    def __init__(self, steps: int, period: int) -> None:
        """Start an empty history.

        Args:
            steps: of the whole training.
            period: steps between two reads.
        """
        self.steps, self.period = steps, period
        self.window = -(-steps // ROWS)
        self.names: list[str] = []
        self.rows: list[list[float]] = []  # [step, lr, each term, norm], means over a window
        self.open: list[list[float]] = []  # steps of the window that is not full
        self.last: list[list[float]] = []  # steps that the final losses are taken over
        self._pending: list[tuple[int, float, Tensor]] = []

    def add(self, step: int, lr: float, terms: dict[str, Tensor], norm: Tensor) -> bool:
        """Take the terms and the gradient's norm of a step (0-based); return if `read` is due."""
        names = list(terms)
        if not self.names:
            self.names = names
        if names != self.names:
            raise ValueError(f"loss terms changed from {self.names} to {names} at step {step + 1}")
        values = [*terms.values(), norm.to(next(iter(terms.values())).device)]
        self._pending.append((step, lr, torch.stack([v.detach().float() for v in values])))
        return len(self._pending) >= self.period or step + 1 == self.steps

    def pending(self) -> Tensor | None:
        """Return what is not yet read, (steps, terms + 1), for an average over processes."""
        return torch.stack([terms for _, _, terms in self._pending]) if self._pending else None

    def read(self, values: Tensor | None) -> None:
        """Take what `pending` returned into the rows.

        Raises:
            InputError: naming the first step and term that is not finite.
        """
        if values is None:
            return
        for (step, lr, _), row in zip(self._pending, values.double().tolist(), strict=True):
            for name, value in zip(self.names, row, strict=False):  # a norm may be infinite
                if not -float("inf") < value < float("inf"):
                    expected = "a finite loss; try a lower lr or a clip_norm"
                    raise InputError(f"step {step + 1}", f"loss {name}", value, expected)
            self._take([step + 1, lr, *row])
        self._pending = []

    def _take(self, row: list[float]) -> None:
        self.open.append(row)
        self.last = [*self.last, row][-max(1, min(FINAL, self.steps // 10)) :]
        if len(self.open) == self.window or row[0] == self.steps:
            self.rows.append([row[0], *_means(self.open)[1:]])
            self.open = []

    def loss(self) -> float:
        """Return the sum of the terms of the newest step that is read."""
        return sum(self.last[-1][2:-1])

    def final(self) -> dict[str, float]:
        """Return the mean of each term, of their sum, and of the norm, over the last steps."""
        if not self.last:
            return {}
        *terms, norm = _means(self.last)[2:]
        return {"loss": sum(terms), **dict(zip(self.names, terms, strict=True)), NORM: norm}

    def table(self) -> tuple[list[str], list[list[float]]]:
        """Return header and rows of history.csv."""
        rows = [[int(step), lr, sum(terms), *terms, norm] for step, lr, *terms, norm in self.rows]
        return ["step", "lr", "loss", *self.names, NORM], rows

    def state(self) -> dict:
        """Return what a checkpoint has to hold."""
        return {key: getattr(self, key) for key in ("names", "rows", "open", "last")}

    def restore(self, state: dict) -> None:
        """Continue from a checkpoint's state."""
        for key, value in state.items():
            setattr(self, key, value)


class Reporter:
    """Says on stderr how far a training has come: a bar on a terminal, else a line at times."""

    def __init__(self, start: int, steps: int, every: float = 10.0, quiet: bool = False) -> None:
        """Begin the clock.

        Args:
            start: steps that an earlier run has done.
            steps: of the whole training.
            every: seconds between two lines.
            quiet: say nothing (all processes but the first).
        """
        self.start, self.steps, self.every, self.quiet = start, steps, every, quiet
        self.begun = self.said = time.monotonic()
        self.bar = None
        if sys.stderr.isatty() and not quiet:
            from tqdm import tqdm

            self.bar = tqdm(total=steps, initial=start, unit="step", dynamic_ncols=True)

    def step(self, done: int, lr: float, loss: float) -> None:
        """Report after `done` steps, when it is time."""
        now = time.monotonic()
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{loss:.4g}", lr=f"{lr:.2e}", refresh=False)
            self.bar.update(done - self.bar.n)
        elif not self.quiet and (now - self.said >= self.every or done == self.steps):
            self.said = now
            self.say(progress_line(done, self.steps, self.start, now - self.begun, lr, loss))

    def say(self, text: str) -> None:
        """Print a plain line, above the bar where there is one."""
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal to others."""
        if self.bar is not None:
            self.bar.close()


def progress_line(
    done: int, steps: int, start: int, seconds: float, lr: float, loss: float
) -> str:
    """Return a line such as `step 400/2000 20% loss 0.123 lr 1.0e-03 12.3 it/s eta 2m10s`."""
    rate = (done - start) / max(seconds, 1e-9)
    eta = duration((steps - done) / max(rate, 1e-9))
    share = 100 * done // max(steps, 1)
    return f"step {done}/{steps} {share}% loss {loss:.4g} lr {lr:.1e} {rate:.1f} it/s eta {eta}"


def duration(seconds: float) -> str:
    """Return `42s`, `2m10s` or `5h03m`."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 1:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"


def _means(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]
