"""The schema of the section demo: what is made of each dataset."""

from dataclasses import dataclass
from typing import Annotated

from pipeline.params.reader import Count, Positive, Range


@dataclass(frozen=True)
class DemoAmass:
    """Motion files: of every kind of motion, this many of this length."""

    sequences_per_motion: Positive
    seconds: Annotated[float, Range(0.1)]
    rate_hz: Annotated[float, Range(1)]


@dataclass(frozen=True)
class DemoH36m:
    """Studio recordings; frames are images of each subject and camera."""

    image_size: Positive
    subjects_train: list[Positive]
    subjects_test: list[Positive]
    camera_arc_deg: Annotated[float, Range(0, 180)]
    train_frames: Positive
    test_frames: Positive
    frames_per_sequence: Positive


@dataclass(frozen=True)
class DemoPw3d:
    """Outdoor recordings of one or two people; frames are of one person."""

    image_size: Positive
    train_frames: Positive
    validation_frames: Positive
    test_frames: Positive
    frames_per_sequence: Positive


@dataclass(frozen=True)
class DemoCoco:
    """Single images; people are those with all limb joints labelled."""

    image_size: Positive
    train_people: Positive
    val_people: Positive


@dataclass(frozen=True)
class DemoH36mOfficial:
    """Studio videos of every subject in pairs of (action, sub-action); frames of each, 50 Hz."""

    image_size: Positive
    camera_arc_deg: Annotated[float, Range(0, 180)]
    subjects: list[Positive]
    sequences: list[tuple[Positive, Positive]]
    frames: Positive


@dataclass(frozen=True)
class DemoCocoDensepose:
    """Single images of one person with surface points."""

    image_size: Positive
    train_people: Positive
    valminusminival_people: Positive
    minival_people: Positive


@dataclass(frozen=True)
class DemoMpiInf3dhp:
    """Studio videos of several cameras and the test set; frames are of each sequence."""

    image_size: Positive
    camera_arc_deg: Annotated[float, Range(0, 180)]
    subjects: list[Positive]
    sequences: list[Positive]
    cameras: list[Annotated[int, Range(0, 13)]]
    train_frames: Positive
    test_sequences: list[Positive]
    test_frames: Positive


@dataclass(frozen=True)
class DemoMupots:
    """Sequences of two or three people; frames are of each sequence."""

    image_size: Positive
    sequences: list[Positive]
    frames: Positive


@dataclass(frozen=True)
class DemoImages:
    """Single images: of two to four people (muco), of one (lspet), of each half (lsp)."""

    image_size: Positive
    images: Positive


@dataclass(frozen=True)
class DemoMpii:
    """Single images."""

    image_size: Positive
    train_images: Positive
    test_images: Positive


@dataclass(frozen=True)
class DemoUp3d:
    """Single images and the bodies fitted to them."""

    image_size: Positive
    train_images: Positive
    val_images: Positive
    test_images: Positive


@dataclass(frozen=True)
class DemoSpin:
    """Images with SPIN's own annotation files; coco stands for its four sets of 2D labels."""

    image_size: Positive
    coco_images: Positive
    h36m_images: Positive


@dataclass(frozen=True)
class DemoSurreal:
    """Short rendered clips of 320 x 240 px; the second of each split has one frame."""

    train_clips: Count
    val_clips: Count
    test_clips: Count
    frames: Positive


@dataclass(frozen=True)
class DemoAgora:
    """Images of 1280 x 720 with a group of people each: one is not valid, one a kid."""

    train_images: Positive
    validation_images: Count
    people: Positive


@dataclass(frozen=True)
class DemoImagenet:
    """Whole images of three classes."""

    image_size: Positive
    train_images: Positive
    val_images: Count


@dataclass(frozen=True)
class DemoInstavariety:
    """Single images with detected joints."""

    image_size: Positive
    train_images: Positive
    test_images: Count


@dataclass(frozen=True)
class DemoFreihand:
    """Right hands; training hands are seen over four backgrounds.

    All are turned by at most turn_deg from fingers up, palm to the camera.
    """

    training: Positive
    evaluation: Positive
    turn_deg: Annotated[float, Range(0, 180)]


@dataclass(frozen=True)
class DemoComplement:
    """Left hands; poses are of each of the four sets, views of each pose; turn_deg as above."""

    poses: Positive
    views: Positive
    turn_deg: Annotated[float, Range(0, 180)]


@dataclass(frozen=True)
class DemoOh3d:
    """Single images of people behind things."""

    image_size: Positive
    train: Positive
    test: Positive


@dataclass(frozen=True)
class DemoSsp3d:
    """Single images of 512 px and their silhouettes."""

    images: Positive


@dataclass(frozen=True)
class Demo:
    """What `source: demo` generates; people face every camera within heading_deg."""

    heading_deg: Annotated[float, Range(0, 180)]
    amass: DemoAmass
    h36m: DemoH36m
    pw3d: DemoPw3d
    coco: DemoCoco
    h36m_official: DemoH36mOfficial
    coco_densepose: DemoCocoDensepose
    mpi_inf_3dhp: DemoMpiInf3dhp
    mupots: DemoMupots
    muco: DemoImages
    lsp: DemoImages
    lspet: DemoImages
    mpii: DemoMpii
    up3d: DemoUp3d
    spin: DemoSpin
    surreal: DemoSurreal
    agora: DemoAgora
    imagenet: DemoImagenet
    instavariety: DemoInstavariety
    freihand: DemoFreihand
    complement: DemoComplement
    oh3d: DemoOh3d
    ssp3d: DemoSsp3d
