"""Weights files: equal bytes, safe reading, and every key used or named."""

import pickle

import pytest
import torch
from torch import nn

from pipeline.checkpoints import load_into, load_weights, read_meta, save_weights
from pipeline.errors import InputError


def trunk():
    return nn.ModuleDict({"conv1": nn.Conv2d(3, 4, 3, bias=False), "bn1": nn.BatchNorm2d(4)})


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = trunk()
        self.head = nn.Linear(4, 2)
        self.register_buffer("body", torch.ones(5), persistent=False)


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture
def saved(tmp_path):
    network = Net()
    save_weights(tmp_path / "model.pt", network, {"step": 3})
    return network, tmp_path / "model.pt"


def write(path, content):
    torch.save(content, path)
    return path


def test_round_trip_without_body_arrays(saved):
    network, path = saved
    other = Net()
    line = load_into(other, path)
    assert same(network, other) and "8 of 8 keys" in line
    assert "body" not in load_weights(path) and read_meta(path) == {"step": 3}


def test_equal_weights_give_equal_bytes_whatever_the_name_and_layout(saved, tmp_path):
    network, path = saved
    network.backbone.to(memory_format=torch.channels_last)
    save_weights(tmp_path / "other.pt", network, {"step": 3})
    assert path.read_bytes() == (tmp_path / "other.pt").read_bytes()


def test_a_part_is_taken_out_of_a_whole_and_the_rest_is_named(saved):
    network, path = saved
    other = Net()
    line = load_into(other, path, "backbone")
    assert same(network.backbone, other.backbone) and not same(network.head, other.head)
    assert "not needed: 2 keys (head.weight, head.bias)" in line


def test_a_part_from_its_own_file(saved, tmp_path):
    network, _ = saved
    save_weights(tmp_path / "head.pt", network.head, {})
    other = Net()
    load_into(other, tmp_path / "head.pt", "head")
    assert same(network.head, other.head)


def test_public_trunk_drops_its_classifier_and_lacks_counters(tmp_path):
    public = {k: v for k, v in trunk().state_dict().items() if "num_batches" not in k}
    path = write(tmp_path / "resnet.pth", public | {"fc.weight": torch.ones(2, 2)})
    other = Net()
    assert "fc.weight" in load_into(other, path, "backbone")
    assert torch.equal(other.backbone["conv1"].weight, public["conv1.weight"])


def test_the_trunk_of_a_flat_pose_network(tmp_path):
    class Pose(nn.ModuleDict):
        def __init__(self):
            super().__init__({**trunk(), "final_layer": nn.Conv2d(4, 2, 1)})

    given, other = Pose(), Pose()
    path = write(tmp_path / "pose.pt", given.state_dict())
    assert "final_layer.weight" in load_into(other, path, "backbone")
    assert same(given["conv1"], other["conv1"])
    assert not same(given["final_layer"], other["final_layer"])
    net = Net()
    load_into(net, path, "backbone")
    assert same(given["conv1"], net.backbone["conv1"])


@pytest.mark.parametrize("wrap", [lambda s: {f"module.{k}": v for k, v in s.items()},
                                  lambda s: {f"1.{k}": v.half() for k, v in s.items()},
                                  lambda s: {"state_dict": s, "meta": {"epoch": 3}},
                                  lambda s: {"model": s}])  # fmt: skip
def test_wrapped_public_files(tmp_path, wrap):
    network, other = nn.Linear(3, 2), nn.Linear(3, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.25)  # exact in half precision
    load_into(other, write(tmp_path / "a.pth", wrap(network.state_dict())))
    assert same(network, other)


def test_mmpose_prefixes_go_together_and_backbone_alone_stays(tmp_path):
    both = {"backbone.a": torch.ones(1), "keypoint_head.b": torch.ones(1)}
    assert set(load_weights(write(tmp_path / "a.pth", both))) == {"a", "b"}
    alone = {"backbone.a": torch.ones(1)}
    assert set(load_weights(write(tmp_path / "b.pth", alone))) == {"backbone.a"}


def test_body_arrays_of_published_networks_are_not_needed(tmp_path):
    state = Net().state_dict() | {"regressor.0.smpl.v_template": torch.ones(5, 3)}
    assert "smpl.v_template" in load_into(Net(), write(tmp_path / "a.pth", state))


@pytest.mark.parametrize(
    "change, message",
    [(lambda s: s | {"extra.weight": torch.ones(1)}, r"1 keys \(extra.weight\) without a place"),
     (lambda s: {k: v for k, v in s.items() if k != "head.bias"},
      r"1 keys \(head.bias\) unfilled"),
     (lambda s: s | {"head.bias": torch.ones(3)}, r"head.bias \(3,\) for \(2,\)")],
)  # fmt: skip
def test_keys_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path, change, message):
    other = Net()
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(InputError, match=message):
        load_into(other, write(tmp_path / "a.pth", change(Net().state_dict())))
    assert all(torch.equal(before[k], v) for k, v in other.state_dict().items())


def test_unknown_part(saved):
    with pytest.raises(InputError, match="network, or one of its parts backbone, head"):
        load_into(Net(), saved[1], "regressor")


def test_files_that_execute_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"weights": Evil()}, protocol=2))
    with pytest.raises(InputError, match="evil.pt"):
        load_weights(path)
    with pytest.raises(InputError, match="evil2.pt"):
        load_weights(write(tmp_path / "evil2.pt", {"weights": Evil()}))


def test_damaged_missing_and_empty_files(saved, tmp_path):
    half = tmp_path / "half.pt"
    half.write_bytes(saved[1].read_bytes()[:700])
    (tmp_path / "empty.pt").write_bytes(b"")
    for name in ("half.pt", "empty.pt", "none.pt"):
        with pytest.raises(InputError, match=name):
            load_weights(tmp_path / name)
    with pytest.raises(InputError, match="no state dict"):
        load_weights(write(tmp_path / "list.pt", {"a": [1, 2]}))
