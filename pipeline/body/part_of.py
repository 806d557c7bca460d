"""Body or hand: which of the two a network is of. Light enough for the workflow to import."""

from collections.abc import Mapping

PARTS = ("body", "hand")
HAND_SET = "freihand21"  # joints of hands
HAND_LEVELS = (195, 49)  # vertices of the coarser hands that MANO networks are built on


def part_of(network: Mapping) -> str:
    """Return the part that a network's settings are of."""
    if "regressor" in network:
        return part_of(network["regressor"])
    hand = network.get("kind") == "mean_hand" or network.get("joint_set") == HAND_SET
    return network.get("part") or ("hand" if hand else "body")
