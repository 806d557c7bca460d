"""Device, strategy and precision of a training, as Lightning Fabric takes them."""

import platform
from pathlib import Path

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision

from pipeline.errors import InputError
from pipeline.sharding import STAGES, check_sharding, sharded_strategy

PRECISIONS = {"auto": None, "32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}
STRATEGIES = ("auto", "ddp", *STAGES)


class Autocast(MixedPrecision):
    """Mixed precision that leaves the inputs as they are.

    Fabric casts every floating-point input first. Autocast does so itself where an operation
    allows it, and pixel coordinates would lose their fraction in eight bits.
    """

    def convert_input(self, data: object) -> object:
        """Return the inputs unchanged."""
        return data


def build_fabric(settings: dict) -> Fabric:
    """Return the Fabric of a training; CUDA where there is one, else the CPU.

    Matrix products in float32 may use TF32 on CUDA. Convolutions use deterministic algorithms;
    what has none there (the gradient of grid_sample) makes CUDA runs of PyMAF equal only up to
    rounding, while runs on a CPU with one number of threads are equal bit for bit.

    Args:
        settings: devices, strategy, precision, accumulate, clip_norm.

    Raises:
        InputError: for a precision or strategy that is unknown or not available here, or more
            GPUs than there are.
    """
    cuda = torch.cuda.is_available()
    if cuda and settings["devices"] > torch.cuda.device_count():
        expected = f"at most the {torch.cuda.device_count()} GPUs that this process may use"
        raise InputError("training", "devices", settings["devices"], expected)
    device = "cuda" if cuda else "cpu"
    precision = resolve_precision(str(settings["precision"]), device)
    strategy = settings["strategy"]
    if strategy not in STRATEGIES:
        raise InputError("training", "strategy", strategy, " or ".join(STRATEGIES))
    if strategy in STAGES:
        check_sharding(settings, device, precision)
        strategy = sharded_strategy(settings)
    torch.set_float32_matmul_precision("high" if cuda else "highest")
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    mixed = precision != "32-true"
    return Fabric(
        accelerator=device,
        devices=settings["devices"],
        strategy=strategy,
        precision=None if mixed else precision,
        plugins=[Autocast(precision, device)] if mixed else None,
    )


def resolve_precision(name: str, device: str) -> str:
    """Return Fabric's name of a precision; `auto` is bfloat16 where it is native.

    Raises:
        InputError: for an unknown name, or float16 on a CPU.
    """
    if name not in PRECISIONS:
        raise InputError("training", "precision", name, " or ".join(PRECISIONS))
    if name == "16-mixed" and device == "cpu":
        raise InputError("training", "precision", f"{name} on a CPU", "auto, 32 or bf16-mixed")
    if name != "auto":
        return PRECISIONS[name]
    native = cuda_computes_bf16() if device == "cuda" else cpu_computes_bf16()
    return "bf16-mixed" if native else "32-true"


def cuda_computes_bf16() -> bool:
    """Return whether the GPU has bfloat16 units; emulation is slower than float32."""
    return torch.cuda.get_device_capability()[0] >= 8


def cpu_computes_bf16() -> bool:
    """Return whether the CPU has bfloat16 instructions (AMX or AVX-512)."""
    probes = [getattr(torch.cpu, name, None)
              for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]  # fmt: skip
    if all(probes):
        return any(probe() for probe in probes)
    listing = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not listing.exists():
        return False
    flags = listing.read_text()
    return "amx_bf16" in flags or "avx512_bf16" in flags
