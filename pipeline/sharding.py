"""Training with DeepSpeed's ZeRO: every process keeps a share of the optimiser's state.

Weights are whole in every process (stages 1 and 2), in float32. A checkpoint holds the shares of
all processes, so it is continued by as many as wrote it.
"""

import importlib.util

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DeepSpeedStrategy, Strategy
from lightning_fabric.wrappers import _FabricOptimizer as FabricOptimizer

from pipeline.errors import InputError

STAGES = {"deepspeed": 2, "deepspeed_stage_1": 1, "deepspeed_stage_2": 2}


def check_sharding(settings: dict, device: str, precision: str) -> None:
    """Refuse DeepSpeed where it cannot run, and what it would do otherwise than asked.

    Raises:
        InputError: if so.
    """
    name = settings["strategy"]
    if importlib.util.find_spec("deepspeed") is None:
        expected = "the package deepspeed (pip install deepspeed), or auto or ddp"
        raise InputError("training", "strategy", f"{name}, which is not installed", expected)
    if device == "cpu":
        raise InputError("training", "strategy", f"{name} on a CPU", "GPUs, or auto or ddp")
    if precision != "32-true":
        expected = "32: DeepSpeed would keep weights and coordinates in 16 bits"
        raise InputError("training", "precision", f"{precision} with {name}", expected)
    if settings["accumulate"] > 1:
        expected = "1, or auto or ddp: DeepSpeed averages gradients at every piece"
        raise InputError("training", "accumulate", settings["accumulate"], expected)


def sharded_strategy(settings: dict) -> DeepSpeedStrategy:
    """Return Fabric's strategy; it clips gradients by itself."""
    strategy = DeepSpeedStrategy(stage=STAGES[settings["strategy"]])
    strategy.config["gradient_clipping"] = settings["clip_norm"] or 0.0
    return strategy


def is_sharded(strategy: Strategy) -> bool:
    """Return whether the optimiser's state is spread over the processes."""
    return isinstance(strategy, DeepSpeedStrategy)


def optimizer_state(optimizer: FabricOptimizer, fabric: Fabric) -> object:
    """Return what a checkpoint holds of the optimiser; all processes have to ask."""
    if not is_sharded(fabric.strategy):
        return optimizer.state_dict()
    shares: list = [None] * fabric.world_size
    torch.distributed.all_gather_object(
        shares, _to_cpu(optimizer.optimizer.optimizer.state_dict())
    )
    return shares


def load_optimizer_state(optimizer: FabricOptimizer, fabric: Fabric, state: object) -> None:
    """Take up a checkpoint's state; the network's weights have been loaded before."""
    if not is_sharded(fabric.strategy):
        optimizer.load_state_dict(state)
        return
    zero = optimizer.optimizer
    zero.refresh_fp32_params()  # the share of the weights that this process updates
    zero.optimizer.load_state_dict(state[fabric.global_rank])


def _to_cpu(state: object) -> object:
    """Return nested state with its tensors on the CPU."""
    if isinstance(state, torch.Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {key: _to_cpu(value) for key, value in state.items()}
    return [_to_cpu(value) for value in state] if isinstance(state, list) else state
