"""The only training loop: any objective, on Lightning Fabric, resumable at any step.

Step k is a pure function of the weights, the optimiser's state and (seed, k): the batch is, and
the random numbers inside the network (dropout, masking, corruption) are seeded by (seed, k). So
no state of a random generator is saved, and a resumed run gives the bytes of an uninterrupted
one. They do depend on the number of threads, which orders floating-point sums.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from pipeline.data.mixture import Prefetcher
from pipeline.errors import InputError
from pipeline.fabric import build_fabric
from pipeline.history import History, Reporter
from pipeline.models.transformer import recompute_activations
from pipeline.pieces import label_shares, split
from pipeline.resume import CheckpointFolder
from pipeline.schedules import build_optimizer, check_schedule, learning_rate
from pipeline.seeding import torch_generator
from pipeline.sharding import is_sharded, load_optimizer_state, optimizer_state
from pipeline.speed import Speed

SELECTIONS = ("last", "validation", "paper")
READ_EVERY = 20  # steps between two reads of the losses from an accelerator


class Objective(Protocol):
    """What the loop trains."""

    network: nn.Module
    score: str | None  # entry of `validate` that selects weights, lowest best; None: no validation

    def batch(self, step: int, rows: slice) -> dict[str, Tensor]:
        """Rows of the batch of a step on the CPU, a pure function of (seed, step)."""

    def losses(self, network: nn.Module, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """Weighted terms, the same names at every step; their sum is minimised."""

    def label_counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Number of labels that a term averages over, of those that skip unlabelled samples."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Scores of the network on the declared validation split."""


@dataclass(frozen=True)
class Outcome:
    """What is left of a training besides the weights, which the network holds.

    Attributes:
        history: losses of every step.
        validation: scores of the selected weights.
        selected_step: where these were taken.
        course: `step` and scores of every validation, the first before step 1.
    """

    history: History
    validation: dict[str, float]
    selected_step: int
    course: list[dict[str, float]] = field(default_factory=list)


def fit(
    objective: Objective,
    settings: dict,
    seed: int,
    folder: CheckpointFolder,
    fabric: Fabric | None = None,
) -> Outcome:
    """Train `objective.network` in place, continuing from the folder's checkpoint.

    Args:
        objective: network, batches and losses.
        settings: the `training` section; with steps: 0 no other key is read. batch_size is
            that of one optimiser step, shared by all processes and by the `accumulate` pieces
            that each works through. Their losses add up to that of the whole batch; only
            BatchNorm sees a piece (all processes' pieces on CUDA).
        seed: of the run.
        folder: where checkpoints go; entered by the first process.
        fabric: launched already; None builds it from the settings and launches it.

    Raises:
        InputError: for settings that contradict each other, or a loss that is not finite.
    """
    if not settings["steps"]:
        return Outcome(History(0, 1), _scores(objective), 0)
    check_schedule(settings)
    _check(objective, settings)
    if fabric is None:
        fabric = build_fabric(settings)
        fabric.launch()
    pieces = fabric.world_size * settings["accumulate"]
    if settings["batch_size"] % pieces:
        raise InputError("training", "batch_size", settings["batch_size"],
                         f"a multiple of devices x accumulate = {pieces}")  # fmt: skip
    loop = _Loop(objective, settings, seed, folder, fabric)
    loop.restore()
    loop.run()
    return loop.finish()


def _check(objective: Objective, settings: dict) -> None:
    """Refuse a selection that has nothing to select from."""
    selection = settings["selection"]
    if selection not in SELECTIONS:
        raise InputError("training", "selection", selection, " or ".join(SELECTIONS))
    if selection == "last":
        return
    if objective.score is None:
        raise InputError("training", "selection", f"{selection} without validation records",
                         "records to select on, or selection: last")  # fmt: skip
    if not settings["validate_every"]:
        raise InputError("training", "selection", f"{selection} with validate_every: 0",
                         "a number of steps between two validations")  # fmt: skip


def _scores(objective: Objective) -> dict[str, float]:
    """Validate the network as it is, where there is a validation split."""
    if objective.score is None:
        return {}
    objective.network.eval()
    with torch.no_grad():
        scores = dict(objective.validate(objective.network))
    objective.network.train()
    return scores


class _Loop:
    """State of one training."""

    def __init__(
        self,
        objective: Objective,
        settings: dict,
        seed: int,
        folder: CheckpointFolder,
        fabric: Fabric,
    ) -> None:
        self.objective, self.settings, self.seed = objective, settings, seed
        self.folder, self.fabric = folder, fabric
        self.network = objective.network
        self.steps, self.done = settings["steps"], 0
        self.best: dict | None = None
        self.validation: dict[str, float] = {}
        self.course: list[dict[str, float]] = []
        period = 1 if fabric.device.type == "cpu" else READ_EVERY
        self.history = History(self.steps, period)
        self.network.train()
        if settings["checkpoint_activations"] and not recompute_activations(self.network):
            raise InputError("training", "checkpoint_activations", "true without such layers",
                             "a network with transformer layers, or false")  # fmt: skip
        if settings["channels_last"]:
            self.network.to(memory_format=torch.channels_last)
        network = self.network
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        if settings["compile"]:
            network = torch.compile(network)
        scaled = settings["precision"] == "16-mixed"
        optimizer = build_optimizer(network.parameters(), settings, fused=not scaled)
        self.module, self.optimizer = fabric.setup(network, optimizer)

    def restore(self) -> None:
        """Take up the newest checkpoint, if there is one."""
        state = self.folder.load()
        if state is None:
            return
        self.network.load_state_dict(state["weights"])
        load_optimizer_state(self.optimizer, self.fabric, state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.history.restore(state["history"])
        self.done, self.best, self.validation = state["step"], state["best"], state["validation"]
        self.course = state["course"]
        if self.fabric.is_global_zero:
            self.folder.log(f"resuming from step {self.done}")

    def run(self) -> None:
        """Go through the remaining steps."""
        report = Reporter(self.done, self.steps, quiet=not self.fabric.is_global_zero)
        speed = Speed()
        batches = self._batches()
        if not self.done and self.settings["validate_every"] and self.objective.score is not None:
            self.course.append({"step": 0, **_scores(self.objective)})
        try:
            while self.done < self.steps:
                with speed.waiting():
                    batch = self._to_device(next(batches))
                lr = learning_rate(self.settings, self.done)
                with speed.stepping():
                    if self.history.add(self.done, lr, *self._step(batch, lr)):
                        self._read_history()
                        report.step(self.done + 1, lr, self.history.loss())
                self.done += 1
                self._milestones(report)
        finally:
            batches.close()
            report.close()
        if speed.steps:
            report.say(speed.line(self.fabric.device))

    def finish(self) -> Outcome:
        """Leave the selected weights in the network."""
        if self.objective.score is not None and not self.validation:
            self._validate()
        if self.settings["selection"] != "last" and self.best is not None:
            self.network.load_state_dict(self.best["weights"])
            return Outcome(self.history, self.best["scores"], self.best["step"], self.course)
        return Outcome(self.history, self.validation, self.done, self.course)

    def _step(self, batch: dict[str, Tensor], lr: float) -> tuple[dict[str, Tensor], Tensor]:
        """One update of the weights.

        Returns:
            each term's mean over the pieces, and the norm of the gradient before clipping.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        parts = split(batch, self.settings["accumulate"])
        shares = label_shares(self.objective.label_counts, parts, self.fabric)
        totals: dict[str, Tensor] = {}
        for piece, (part, share) in enumerate(zip(parts, shares, strict=True)):
            self._seed(piece)
            waiting = self.fabric.world_size > 1 and piece < len(parts) - 1
            with self.fabric.no_backward_sync(self.module) if waiting else nullcontext():
                terms = self.objective.losses(self.module, part, self.done)
                terms = {name: term * share.get(name, 1.0) / len(parts)
                         for name, term in terms.items()}  # fmt: skip
                self.fabric.backward(sum(terms.values()))
            for name, term in terms.items():
                totals[name] = totals.get(name, 0.0) + term.detach().float()
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return totals, norm

    def _clip(self) -> Tensor:
        """Clip the gradients where the settings ask for it.

        Returns:
            their norm before; not a number where a sharded strategy clips inside its own step.
        """
        most = self.settings["clip_norm"]
        if is_sharded(self.fabric.strategy):
            return torch.tensor(float("nan"))
        if most is None and self.settings["precision"] != "16-mixed":
            return nn.utils.get_total_norm(
                [p.grad for p in self.network.parameters() if p.grad is not None]
            )
        # A limit that nothing reaches: Fabric undoes the loss scale of float16 on the way.
        norm = self.fabric.clip_gradients(
            self.module, self.optimizer, error_if_nonfinite=False,
            max_norm=float("inf") if most is None else most,
        )  # fmt: skip
        return torch.as_tensor(norm if norm is not None else float("nan"))

    def _seed(self, piece: int) -> None:
        """Seed what the network draws; each process and piece has its own samples."""
        path = ("step", self.done, self.fabric.global_rank, piece)
        torch.manual_seed(torch_generator(self.seed, *path).initial_seed())

    def _milestones(self, report: Reporter) -> None:
        """Validate and save where the step asks for it."""
        every, last = self.settings["validate_every"], self.done == self.steps
        if every and (self.done % every == 0 or last) and self.objective.score is not None:
            self._validate()
            scores = " ".join(f"{name} {value:.4g}" for name, value in self.validation.items())
            report.say(f"step {self.done}/{self.steps} validation {scores}")
        if self.done % self.settings["checkpoint_every"] == 0 or last:
            self._read_history()
            self._check_weights()
            state = self._state()
            if self.fabric.is_global_zero:
                self.folder.save(self.done, state)

    def _validate(self) -> None:
        self.validation = _scores(self.objective)
        self.course.append({"step": self.done, **self.validation})
        score = self.validation[self.objective.score]
        if self.settings["selection"] != "last" and (
            self.best is None or score < self.best["scores"][self.objective.score]
        ):
            self.best = {"scores": self.validation, "step": self.done, "weights": self._weights()}

    def _read_history(self) -> None:
        values = self.history.pending()
        if values is not None and self.fabric.world_size > 1:
            values = self.fabric.all_reduce(values, reduce_op="mean")
        self.history.read(values)

    def _check_weights(self) -> None:
        """A finite loss can still have gradients that are not."""
        for name, value in self.network.named_parameters():
            if not torch.isfinite(value).all():
                raise InputError(f"step {self.done}", f"weights {name}", "values not finite",
                                 "finite weights; try a lower lr or a clip_norm")  # fmt: skip

    def _state(self) -> dict:
        return {
            "step": self.done,
            "weights": self._weights(),
            "optimizer": optimizer_state(self.optimizer, self.fabric),
            "precision": self.fabric.strategy.precision.state_dict(),
            "history": self.history.state(),
            "best": self.best,
            "validation": self.validation,
            "course": self.course,
        }

    def _weights(self) -> dict[str, Tensor]:
        return {k: v.detach().cpu().clone() for k, v in self.network.state_dict().items()}

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        """Batches of this process, from the next step on."""
        share = self.settings["batch_size"] // self.fabric.world_size
        rows = slice(share * self.fabric.global_rank, share * (self.fabric.global_rank + 1))
        pin = self.fabric.device.type == "cuda"

        def make(step: int) -> dict[str, Tensor]:
            batch = self.objective.batch(step, rows)
            return {k: v.pin_memory() for k, v in batch.items()} if pin else batch

        yield from Prefetcher(make, self.done, self.steps, self.settings["workers"])

    def _to_device(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Move a batch; on a CPU copy it, since the alignment of foreign memory may order sums."""
        moved = {}
        for key, value in batch.items():
            nhwc = self.settings["channels_last"] and value.ndim == 4 and value.is_floating_point()
            layout = torch.channels_last if nhwc else torch.contiguous_format
            moved[key] = value.to(
                self.fabric.device, non_blocking=True, copy=True, memory_format=layout
            )
        return moved
