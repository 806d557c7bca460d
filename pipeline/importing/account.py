"""What became of every key of a published checkpoint, as a table."""

from dataclasses import dataclass, field

from torch import Tensor

NAMED = 8  # keys that a message spells out


@dataclass
class Account:
    """Keys of the file by what became of them.

    Attributes:
        tensors: all tensors of the file by its own keys.
        mapped: file's key -> our key.
        dropped: file's key -> why it is not needed.
        created: our keys that older files lack and that are filled with zero.
    """

    tensors: dict[str, Tensor]
    mapped: dict[str, str]
    dropped: dict[str, str]
    created: list[str] = field(default_factory=list)

    def values(self, keys: list[str]) -> int:
        """Number of values in these tensors."""
        return sum(self.tensors[key].numel() for key in keys)

    def reasons(self) -> dict[str, list[str]]:
        """Dropped keys by reason."""
        found: dict[str, list[str]] = {}
        for key, reason in self.dropped.items():
            found.setdefault(reason, []).append(key)
        return found

    def table(self) -> str:
        """One line per fate: number of keys and of values, and the reason."""
        rows = [("mapped", len(self.mapped), self.values(list(self.mapped)), "the network's own")]
        for reason, keys in self.reasons().items():
            rows.append(("dropped", len(keys), self.values(keys), reason))
        if self.created:
            why = "counters that the file lacks, zero (they enter no result)"
            rows.append(("created", len(self.created), len(self.created), why))
        rows.append(("in file", len(self.tensors), self.values(list(self.tensors)), ""))
        lines = [f"{'':8} {'keys':>6} {'values':>12}"]
        lines += [f"{fate:8} {keys:6,} {values:12,}  {why}" for fate, keys, values, why in rows]
        return "\n".join(line.rstrip() for line in lines)

    def summary(self) -> dict:
        """The same for the metadata of the imported file."""
        return {
            "mapped": {"keys": len(self.mapped), "values": self.values(list(self.mapped))},
            "dropped": {reason: {"keys": len(keys), "values": self.values(keys)}
                        for reason, keys in self.reasons().items()},
            "created": len(self.created),
        }  # fmt: skip


def listed(keys: list[str]) -> str:
    """The number of keys and the first of them."""
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{len(keys)} ({', '.join(keys[:NAMED])}{more})"
