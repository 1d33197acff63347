"""CMU motion capture: sequences of one activity each, and long recordings of several.

A frame is a row: the root's translation in skeleton units (columns 0 to 2, the second is up), then
three numbers for each joint, its rotation relative to its parent as an exponential map: the axis
times the angle in radians. Exponential maps jump where an angle passes pi; some thumbs and wrists
also turn over from one frame to the next in the recording itself.

The files come from the public repository of Su and Shlizerman (2020), the sequences by way of Li
et al. (2018), the segmentation of the recordings by way of Barbic et al. (2004); all go back to the
CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu, NSF EIA-0196217), which is free for all
uses. Five sequences of directing_traffic and washwindow and seven trials of subject 86 that are in
the repository are left out here, because no checksum of theirs is known.
"""

import io
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.io import loadmat
from scipy.spatial.transform import Rotation

from rnnatomy.data import files

ACTIONS = (
    "walking",
    "running",
    "jumping",
    "soccer",
    "basketball",
    "basketball_signal",
    "directing_traffic",
    "washwindow",
)


RATE = 120.0
"""Frames per second of all files."""


ADDRESS = (
    "https://raw.githubusercontent.com/shlizee/interpretseq2seq/"
    "4a51bd0dbdfcbf577c27ae66edf96410fe49368f/data/cmu_mocap/"
)
"""Where files are downloaded from: the repository at one commit."""


_ROOT = 6


_HARDLY = 1e-4


_TRUTH = "_ground_truth.txt"


_ALIASES = {"walk": "walking"}


# parent and offset from it of each of the 38 joints: figures from the repository's
# src/forward_kinematics_cmu.py, without its factor of 70
_SKELETON = (
    (-1, 0, 0, 0),
    (0, 0, 0, 0),
    (1, 1.65674, -1.80282, 0.62477),
    (2, 2.5972, -7.13576, 0),
    (3, 2.49236, -6.8477, 0),
    (4, 0.19704, -0.54136, 2.14581),
    (5, 0, 0, 1.11249),
    (0, 0, 0, 0),
    (7, -1.6107, -1.80282, 0.62476),
    (8, -2.59502, -7.12977, 0),
    (9, -2.4678, -6.78024, 0),
    (10, -0.23024, -0.63258, 2.13368),
    (11, 0, 0, 1.11569),
    (0, 0, 0, 0),
    (13, 0.01961, 2.0545, -0.14112),
    (14, 0.01021, 2.06436, -0.05921),
    (15, 0, 0, 0),
    (16, 0.00713, 1.56711, 0.14968),
    (17, 0.03429, 1.56041, -0.10006),
    (18, 0.01305, 1.6256, -0.05265),
    (15, 0, 0, 0),
    (20, 3.54205, 0.90436, -0.17364),
    (21, 4.86513, 0, 0),
    (22, 3.35554, 0, 0),
    (23, 0, 0, 0),
    (24, 0.66117, 0, 0),
    (25, 0.53306, 0, 0),
    (23, 0, 0, 0),
    (27, 0.5412, 0, 0.5412),
    (15, 0, 0, 0),
    (29, -3.49802, 0.75994, -0.32616),
    (30, -5.02649, 0, 0),
    (31, -3.36431, 0, 0),
    (32, 0, 0, 0),
    (33, -0.73041, 0, 0),
    (34, -0.58887, 0, 0),
    (32, 0, 0, 0),
    (36, -0.59786, 0, 0.59786),
)


PARENTS: Int[np.ndarray, "joint=38"] = np.array([row[0] for row in _SKELETON])
"""Number of each joint's parent; -1 for the root."""


HEAD = 19
"""Number of the joint in the middle of the head: that at the end of the neck."""


OFFSETS: Float[np.ndarray, "joint=38 axis=3"] = np.array([row[1:] for row in _SKELETON])
"""Place of each joint seen from its parent when nothing is turned, in skeleton units."""


class Sequence(NamedTuple):
    """One activity, recorded once.

    Attributes:
        name: such as "walking_1".
        action: such as "walking".
        frames: 117 columns: translation (3) and 38 joints.
        rate: frames per second.
    """

    name: str
    action: str
    frames: Float[np.ndarray, "time feature"]
    rate: float


class GroundTruth(NamedTuple):
    """A segmentation by hand. Border b parts ``frames[:b]`` from ``frames[b:]``.

    Attributes:
        activities: one name for each segment, in order; a name may return.
        best: the border after each segment but the last.
        accepted: first and last frame at which each border is still accepted.
        end: number of frames, as whoever segmented counted them.
    """

    activities: tuple[str, ...]
    best: Int[np.ndarray, " border"]
    accepted: Int[np.ndarray, "border 2"]
    end: int


class Recording(NamedTuple):
    """A long recording of subject 86: several activities, one after the other.

    Attributes:
        name: number of the trial, such as "01".
        frames: 96 columns: translation (3) and 31 joints, which are not those of ``PARENTS``.
        activities: one name for each segment, in order; a name may return.
        labels: activity of each frame by the best borders: the same number for the same name,
            from 0 in order of first appearance.
        best: the border after each segment but the last.
        accepted: first and last frame at which each border is still accepted.
        rate: frames per second.
    """

    name: str
    frames: Float[np.ndarray, "time feature"]
    activities: tuple[str, ...]
    labels: Int[np.ndarray, " time"]
    best: Int[np.ndarray, " border"]
    accepted: Int[np.ndarray, "border 2"]
    rate: float


class Scale(NamedTuple):
    """What training frames look like, column by column.

    Attributes:
        mean: of each column.
        deviation: standard deviation of each column.
        kept: numbers of the columns that vary.
    """

    mean: Float[np.ndarray, " feature"]
    deviation: Float[np.ndarray, " feature"]
    kept: Int[np.ndarray, " kept"]


def sequences(actions: Iterable[str] | None = None) -> list[Sequence]:
    """Load the sequences of some actions, or of all.

    Files come from the folder that ``RNNATOMY_DATA`` names (``cmu_mocap/train/<action>/*.txt``;
    washwindow, of which there is one sequence, from ``test``). An action of which no file is there
    is downloaded. With no actions given, it is all that are at hand, or else all.

    The first row of each file is left out: upright with arms spread, the same pose in all files,
    and no part of the motion.

    Args:
        actions: names out of ``ACTIONS``.

    Returns:
        In the order of the names given, at 120 frames per second.

    Raises:
        ValueError: if an action is unknown.
        DataError: if a file at hand is damaged.
        DataUnavailable: if a file is neither at hand nor within reach.

    Reference:
        Li, Zhang, Lee and Lee (2018).
    """
    source, folder = _source(), files.folder("cmu_mocap")
    known = [name for name in source.registry if not name.startswith("subject_86")]
    if actions is None:
        chosen = _here_or_all(folder, known)
    else:
        parts = [_of_action(action, known) for action in actions]
        chosen = [name for part in parts for name in _here_or_all(folder, part)]
    return [_sequence(name, files.verified(source, folder, name, _out_of_reach)) for name in chosen]


def with_first_rows(names: Iterable[str]) -> list[Sequence]:
    """Load some sequences as their files have them, with the first row that ``sequences`` leaves.

    Su and Shlizerman keep these rows. Where files follow each other, they mark the borders: one
    frame upright with arms spread, between a motion and the next.

    Args:
        names: such as "walking_1".

    Returns:
        In the order of the names.

    Raises:
        ValueError: if there is no sequence of a name.
        DataError: if a file at hand is damaged.
        DataUnavailable: if a file is neither at hand nor within reach.
    """
    source, folder = _source(), files.folder("cmu_mocap")
    known = {PurePosixPath(name).stem: name for name in source.registry if _action(name) in ACTIONS}
    chosen = list(names)
    for name in chosen:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f" ({near[0]!r} looks like it)" if near else ""
            raise ValueError(f"sequence {name!r} is unknown: give a name like 'walking_1'{hint}.")
    paths = [files.verified(source, folder, known[name], _out_of_reach) for name in chosen]
    return [
        Sequence(name, _action(known[name]), read_frames(path), RATE)
        for name, path in zip(chosen, paths, strict=True)
    ]


def split_in_time(sequence: Sequence, parts: int) -> list[Sequence]:
    """Cut a sequence into consecutive parts of equal length, up to one frame.

    Args:
        sequence: at least as many frames as parts.
        parts: at least 1.

    Returns:
        The parts in order, named after the sequence: "washwindow_1/1", "washwindow_1/2" and so on.

    Raises:
        ValueError: if there are fewer frames than parts, or less than one part.
    """
    if not 1 <= parts <= len(sequence.frames):
        raise ValueError(
            f"{sequence.name} cannot be cut into {parts} parts: give 1 to {len(sequence.frames)}."
        )
    pieces = np.array_split(sequence.frames, parts)
    return [
        sequence._replace(name=f"{sequence.name}/{number}", frames=frames)
        for number, frames in enumerate(pieces, start=1)
    ]


def recordings() -> list[Recording]:
    """Load the recordings of subject 86 with their segmentation.

    Files come from the folder that ``RNNATOMY_DATA`` names (``cmu_mocap/subject_86``), as many as
    are there; if there is none, all seven are downloaded.

    Raises:
        DataError: if a file at hand is damaged, or a recording and its segmentation do not fit.
        DataUnavailable: if a file is neither at hand nor within reach.

    Reference:
        Barbic, Safonova, Pan, Faloutsos, Hodgins and Pollard (2004).
    """
    source, folder = _source(), files.folder("cmu_mocap")
    known = [name for name in source.registry if name.endswith(".mat")]
    pairs = [(name, name.replace(".mat", _TRUTH)) for name in _here_or_all(folder, known)]
    return [
        _recording(*(files.verified(source, folder, name, _out_of_reach) for name in pair))
        for pair in pairs
    ]


def read_frames(path: Path) -> Float[np.ndarray, "time feature=117"]:
    """Read one sequence: text, one frame a row, 117 numbers with commas between them.

    Raises:
        DataError: if the file is empty, or not of this form, or holds NaN or infinity.
    """
    text = files.read(path).decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise files.damaged(path, "rows of 117 numbers", "an empty file")
    try:
        frames = np.loadtxt(lines, np.float32, comments=None, delimiter=",", ndmin=2)
    except ValueError as error:
        raise files.damaged(path, "rows of 117 numbers", str(error)) from error
    return _checked(path, frames, 117)


def read_recording(path: Path) -> Float[np.ndarray, "time feature=96"]:
    """Read the frames of a recording: a MATLAB file with a variable ``expmapchannels``.

    Raises:
        DataError: if the file is not of this form, or holds NaN or infinity.
    """
    content = files.read(path)
    try:
        variables = loadmat(io.BytesIO(content))
    except Exception as error:  # SciPy's reader fails in many ways
        raise files.damaged(path, "a MATLAB file of version 5", str(error)) from error
    if "expmapchannels" not in variables:
        names = ", ".join(name for name in variables if not name.startswith("__"))
        raise files.damaged(path, "a variable expmapchannels", names or "no variable")
    return _checked(path, variables["expmapchannels"], 96)


def read_ground_truth(path: Path) -> GroundTruth:
    """Read a segmentation: the number of segments, then two lines for each, its name and its end.

    An end is three numbers: the earliest, best and latest acceptable frame; that of the last
    segment is one. Where the best lies outside the other two, as once in the published files (3881
    3840 4000), it is accepted, too. "walk" and "walking" are used for the same, even in one file;
    both are read as "walking".

    Raises:
        DataError: if the file is not of this form.
    """
    try:
        return _parse(files.read(path).decode())
    except ValueError as error:
        raise files.damaged(path, "a segmentation", str(error)) from error


def normalise(training: Iterable[Float[np.ndarray, "_ feature"]]) -> Scale:
    """Take mean and standard deviation of each column over all training frames.

    Columns with a deviation below 1e-4 are not kept, as is usual for these files. Of the 117
    columns 68 are kept; the literature has 70, but two of them vary only between the first row of
    a file, which ``sequences`` leaves out, and the next.

    Args:
        training: the frames of one or more sequences; no test frames, and so no test statistics.

    Raises:
        ValueError: if there is no frame, or the numbers of columns differ, or a number is not
            finite, or no column varies.

    Reference:
        Martinez, Black and Romero (2017).
    """
    parts = list(training)
    if not sum(map(len, parts)):
        raise ValueError("there are no training frames: give at least one sequence.")
    columns = sorted({part.shape[1] for part in parts})
    if len(columns) > 1:
        raise ValueError(f"sequences of {columns} columns are mixed: give one kind.")
    frames = np.concatenate(parts).astype(np.float64)
    if not np.isfinite(frames).all():
        raise ValueError("the training frames hold NaN or infinity: give finite numbers.")
    mean, deviation = frames.mean(axis=0), frames.std(axis=0)
    kept = np.flatnonzero(deviation >= _HARDLY)
    if not kept.size:
        raise ValueError("no column of the training frames varies: give a motion.")
    return Scale(mean, deviation, kept)


def scale(
    frames: Float[np.ndarray, "*batch feature"], by: Scale
) -> Float[np.ndarray, "*batch kept"]:
    """Return ``(frames - mean) / deviation`` in the columns that are kept.

    Raises:
        ValueError: if the number of columns is not that of the training frames.
    """
    _check_columns(frames, len(by.mean))
    scaled = (frames[..., by.kept] - by.mean[by.kept]) / by.deviation[by.kept]
    return scaled.astype(np.float32)


def without_root(
    frames: Float[np.ndarray, "*batch feature"],
) -> Float[np.ndarray, "*batch feature"]:
    """Set where the body is and which way it faces, the first six columns, to zero."""
    still = frames.copy()
    still[..., :_ROOT] = 0
    return still


def forward_kinematics(
    frames: Float[np.ndarray, "time feature"],
    parents: Int[np.ndarray, " joint"],
    offsets: Float[np.ndarray, "joint 3"],
) -> Float[np.ndarray, "time joint 3"]:
    """Find where the joints are: rotate each offset by all rotations up the tree, and add up.

        P_j = P_j' + G_j' l_j,   G_j = G_j' exp(-[theta_j]_x),   j' the parent of j

    The minus is a convention of these files, whose rotations act on row vectors. ``PARENTS`` and
    ``OFFSETS`` are for the 117 columns of the sequences; no skeleton is known here for the 96
    columns of the recordings. All people are drawn with the same bones, so feet may stand a
    little above or below the floor.

    Args:
        frames: 3 columns of translation, then 3 for each joint, radians.
        parents: number of each joint's parent, -1 for joint 0; parents come before children.
        offsets: place of each joint seen from its parent, in the unit of the translation.

    Returns:
        Places in the unit of the translation; the second coordinate is up.

    Raises:
        ValueError: if the shapes do not fit, or the parents are in another order.

    Reference:
        Grassia (1998).
    """
    _check_tree(frames, parents, offsets)
    vectors = frames[:, 3:].astype(np.float64).reshape(-1, 3)
    turned = Rotation.from_rotvec(-vectors).as_matrix().reshape(len(frames), len(parents), 3, 3)
    places = np.empty((len(frames), len(parents), 3))
    places[:, 0] = offsets[0] + frames[:, :3]
    for joint, parent in enumerate(parents[1:], start=1):
        places[:, joint] = places[:, parent] + turned[:, parent] @ offsets[joint]
        turned[:, joint] = turned[:, parent] @ turned[:, joint]
    return places


def _source() -> files.pooch.Pooch:
    """Say where the files are published, where downloads are kept, and what the checksums are."""
    source = files.pooch.create(files.cache("cmu_mocap"), ADDRESS)
    with resources.files("rnnatomy.data").joinpath("registry.txt").open("rb") as lines:
        source.load_registry(lines)
    return source


def _action(name: str) -> str:
    return PurePosixPath(name).parent.name


def _of_action(action: str, known: list[str]) -> list[str]:
    if action not in ACTIONS:
        near = get_close_matches(action, ACTIONS, n=1)
        hint = f" ({near[0]!r} looks like it)" if near else ""
        raise ValueError(f"action {action!r} is unknown: choose from {', '.join(ACTIONS)}{hint}.")
    return [name for name in known if _action(name) == action]


def _here_or_all(folder: Path | None, names: list[str]) -> list[str]:
    return [name for name in names if folder and files.at_hand(folder / name)] or names


def _out_of_reach(name: str, url: str, error: Exception) -> files.DataUnavailable:
    return files.DataUnavailable(
        f"CMU motion capture is out of reach: there is no {name} at hand, and {url} does not "
        f"answer ({error}); go online, or set {files.SETTING} to a folder with cmu_mocap/{name}."
    )


def _sequence(name: str, path: Path) -> Sequence:
    return Sequence(path.stem, _action(name), read_frames(path)[1:], RATE)


def _recording(frames_path: Path, truth_path: Path) -> Recording:
    frames, truth = read_recording(frames_path), read_ground_truth(truth_path)
    # the published files count up to one frame more or less than there are
    if abs(truth.end - len(frames)) > 1:
        raise files.damaged(truth_path, f"an end near {len(frames)}", f"{truth.end}")
    distinct = list(dict.fromkeys(truth.activities))
    numbers = [distinct.index(activity) for activity in truth.activities]
    labels = np.repeat(numbers, np.diff([0, *truth.best, len(frames)]))
    name = frames_path.stem
    return Recording(name, frames, truth.activities, labels, truth.best, truth.accepted, RATE)


def _parse(text: str) -> GroundTruth:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    heads, tails = lines[1::2], lines[2::2]
    if not tails or len(heads) != len(tails) or lines[0] != [str(len(heads))]:
        raise ValueError(f"{len(lines)} lines")
    if [number for number, _ in heads] != [str(k + 1) for k in range(len(heads))]:
        raise ValueError(f"segments {[number for number, _ in heads]}")
    borders = [(int(early), int(best), int(late)) for early, best, late in tails[:-1]]
    (end,) = map(int, tails[-1])
    best = np.array([border[1] for border in borders], int)
    if (np.diff([0, *best, end]) <= 0).any():
        raise ValueError(f"borders {[*best.tolist(), end]}")
    return GroundTruth(
        activities=tuple(_ALIASES.get(name, name) for _, name in heads),
        best=best,
        accepted=np.array([(min(b), max(b)) for b in borders], int).reshape(-1, 2),
        end=end,
    )


def _checked(path: Path, frames: np.ndarray, columns: int) -> np.ndarray:
    if frames.ndim != 2 or frames.shape[1] != columns or not len(frames):
        raise files.damaged(path, f"rows of {columns} numbers", f"shape {frames.shape}")
    if frames.dtype.kind != "f" or not np.isfinite(frames).all():
        raise files.damaged(path, "finite numbers", f"NaN or infinity or {frames.dtype}")
    return frames.astype(np.float32)


def _check_columns(array: np.ndarray, columns: int) -> None:
    if array.shape[-1] != columns:
        raise ValueError(f"there are {array.shape[-1]} columns: give {columns}.")


def _check_tree(frames: np.ndarray, parents: np.ndarray, offsets: np.ndarray) -> None:
    joints = len(parents)
    if offsets.shape != (joints, 3) or frames.ndim != 2:
        raise ValueError(
            f"{joints} parents, offsets of shape {offsets.shape} and frames of {frames.shape} do "
            "not fit: give (joint,), (joint, 3) and (time, 3 + 3 joint)."
        )
    _check_columns(frames, 3 + 3 * joints)
    before = parents < np.arange(joints)
    if not before.all() or list(np.flatnonzero(parents < 0)) != [0]:
        raise ValueError(
            f"parents {parents.tolist()} are no tree: give -1 for joint 0, and for each other "
            "joint one that comes before it."
        )
