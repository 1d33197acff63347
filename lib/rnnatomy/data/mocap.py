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

import hashlib
import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
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


METRES_PER_UNIT = 0.056444
"""Length of a skeleton unit, 1 / 0.45 inches (the database's own answers to questions)."""


ADDRESS = (
    "https://raw.githubusercontent.com/shlizee/interpretseq2seq/"
    "4a51bd0dbdfcbf577c27ae66edf96410fe49368f/"
)
"""Where files are downloaded from: the repository at one commit."""


SECONDS = 20.0
"""How long a server may stay silent."""


_ROOT = 6


_HARDLY = 1e-4


_ALIASES = {"walk": "walking"}


# sha256 of each sequence, and of each trial of subject 86 with its segmentation
_SEQUENCES = {
    "walking_1": "594fd1ec95dd385dfaa04e4230ebc047b4917ecc0615629a6a92f11d7dd3ca49",
    "walking_2": "9f00af52c9361f16df6820846141e282b4d4958edae4952c486f141da8ff7f92",
    "walking_3": "f5ff48a358d4de2eb95a10d69d0a7195bfb4da51ee6203aab3bf842bac352d03",
    "walking_4": "608910282c0ad1cbeef718cdd835481a703557146524b68eefbb5ec792544e61",
    "walking_5": "a955054b2a4fd3207f2feac395c0e51e3468daff2b5d25eb6d5fd7e584b44efe",
    "running_1": "7fa23d484e42736796a831543879d694bf00ced74967ef89b30c36d478aa97ec",
    "running_2": "8e46764e910f6756b335af6a2b12d882c1400acd7c7761f850cbc68455d90320",
    "running_3": "9dae5797ce0b0bd429330b1ce79161159b8c095ae9430f99a09c482c75b4d60f",
    "running_4": "ffb983f368ad454fbe43b861deb7b6d630d4e604a48a7928275a03e5beb7ec4f",
    "running_5": "c76605484e2434da99de1320fe2f9f40e969833e62565d79dbda08f4e360d086",
    "jumping_1": "1441aa13e9ed397d88603db851596f11721d15f31508134c3d260e0948a91b6d",
    "jumping_2": "d1d1e3c8776771d3bb03d2a6e43d9ae34d0cc972222d2168c4af361ee9677dbf",
    "jumping_3": "96f03066d3c808b334bae1a12e6a15b2315cacbda8df1160cd3ae16dcc2ac0c7",
    "jumping_4": "866f1b2e5e879c24c0b369b03de17bad9b60441d7417e5b4e6e44bf2d59ca58a",
    "jumping_5": "59db2b8a4639378a0de9b572d951c300e560e2e29ef3ff543cef502394ed678b",
    "soccer_1": "c238012cd3dd2147f77a9f78b9da9096341848c789b8cf2409adecbff195fba2",
    "soccer_2": "b7eb2d445332867815336ea417bdf67a86a29e29554322dc7c6fab8e47d31783",
    "soccer_3": "1cad2b1fe63b81f419e4e65ace483328d9f99293083f779199c5f037df0a28d2",
    "soccer_4": "5355451997838daeff09b7c9523cc0b1b8bd39ebfc374b65f4e996eb16cf7190",
    "soccer_5": "491d3dce18ceb63e04c04e03f25fd6da578777810e7388ca699758fbf1465102",
    "basketball_1": "7c21f4c0d861a5489e0cde47026eaf97707fb5dd0d29adf19addd6c97bc3736c",
    "basketball_2": "cc6c19845c755ee255495cf26d2b068471b1fadc01d18aeaa7498c66392a1680",
    "basketball_3": "59c8b75e5e930c5dbe8a65e4e0a1012ca2fd3e9725137f755aeca2bca4e8fed8",
    "basketball_4": "91771bae89ba73abc131c00d027aa23904fa8a99095f3eee2aa4a38c39fe40eb",
    "basketball_5": "177a424d5417e99a846350e8b7841598825d1b20792ad10d5023e61a2f7ae77f",
    "basketball_signal_1": "e2daa3353de5109dd00e3aa2003f230a708504a0e00951613d333d97688505a7",
    "basketball_signal_2": "838a28e6b67b8d05ab56145899240fc07ff505e80828dd5ab1e1f55c0fd917ef",
    "basketball_signal_3": "86c5edb26464d30b04584fed97d0219ba73bd4d70b1760a46631a0d0f52a0c3e",
    "basketball_signal_4": "bc7c9c5ca4cd282c2123da2802d4bf64275f8ae60aca0c2f6dc2c961d4755c6d",
    "basketball_signal_5": "abfd225087b08a6e245fb213878d8633061a733b8bf61f0cf19ce78d156a68a5",
    "directing_traffic_1": "1686186d9ac20518fcf57ae092f7acfbad31ba4d8f9d8b3a396309a73e525804",
    "directing_traffic_4": "ccb318b5de3588924f36e6dd5e8529cb604fbb5343846b4ec0a7b3de6e216dec",
    "washwindow_1": "dbcd144dac175736b0d8c24e99f4c3a7bbd642b20bb298f3b29fea510c19cb87",
}


_TRIALS = {
    "01": (
        "e30cff22b735cce660c4a9949f4b8598603f150f2cb2d79d3a30af1bf660b789",
        "3c6ab8cad1433d7e4dfae78367c7488c23672836293c26ee0c43983b617fb70f",
    ),
    "05": (
        "0e4f08a2fc38398f0151a8f14c3f435e7620b6d091704d3863ca7ddb4595eb9d",
        "745e9906e20d66e39e91d5a1fe25f3ce71cad3cd8e636efb7d7a70fddf153ed7",
    ),
    "07": (
        "1533dd0b4fee5c467e2d07228a7c097423877f7af6565b0e7c8428d8a46bfebc",
        "befffe3354dea845fd3c8de198326109692035b86c07cca05106ab2f1c86bad3",
    ),
    "09": (
        "60a3b7a11dce298539784f9a18189a31a71e0c559cbed8678b80b4b2caa0837f",
        "de145cc0897aa54ddea2a6afcae8b776698db30419644ba59ee762d8437925b8",
    ),
    "11": (
        "e4a44c90b6b5750c7c19cd50c04b7958950473ce3556f71c63688cfc94f671d3",
        "e4ff08c06b83263face28bc827a53e8bdf3c195d7fdf748b5322b3495d349bda",
    ),
    "13": (
        "a215d73073daf3a3f9303d0151bbdd15e7fc0009e6470fc83bdc2f200508a5f5",
        "cc57dc729c95601fd3068115ad3c0f5aacbf8bcd5a36ec96c6ace7d09fafe0ba",
    ),
    "14": (
        "69372405e380749b50fdcb55e9faa8e7438853ce54f7f14945e3846e360b3234",
        "fc2960ddfc2a3284045c32377dca332fd0a911760a1bb744d99496de945d09cb",
    ),
}


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


class _File(NamedTuple):
    local: str
    remote: str
    checksum: str


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
    if actions is None:
        names = _here_or_all(list(_SEQUENCES))
    else:
        names = [name for action in actions for name in _here_or_all(_names_of(action))]
    return [
        Sequence(name, _action(name), read_frames(_verified(_sequence_file(name)))[1:], RATE)
        for name in names
    ]


def every(sequence: Sequence, step: int) -> Sequence:
    """Keep every ``step``-th frame, from the first; the rate falls by that factor.

    Raises:
        ValueError: if the step is below 1.
    """
    if step < 1:
        raise ValueError(f"step is {step}: give at least 1.")
    return sequence._replace(frames=sequence.frames[::step], rate=sequence.rate / step)


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
    here = [name for name in _TRIALS if _at_hand(_trial_files(name)[0])]
    return [_recording(name, *map(_verified, _trial_files(name))) for name in here or _TRIALS]


def read_frames(path: Path) -> Float[np.ndarray, "time feature=117"]:
    """Read one sequence: text, one frame a row, 117 numbers with commas between them.

    Raises:
        DataError: if the file is empty, or not of this form, or holds NaN or infinity.
    """
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    if not lines:
        raise files.DataError(_damaged(path, "rows of 117 numbers", "an empty file"))
    try:
        frames = np.loadtxt(lines, np.float32, comments=None, delimiter=",", ndmin=2)
    except ValueError as error:
        raise files.DataError(_damaged(path, "rows of 117 numbers", str(error))) from error
    return _checked(path, frames, 117)


def read_recording(path: Path) -> Float[np.ndarray, "time feature=96"]:
    """Read the frames of a recording: a MATLAB file with a variable ``expmapchannels``.

    Raises:
        DataError: if the file is not of this form, or holds NaN or infinity.
    """
    try:
        variables = loadmat(path)
    except Exception as error:  # SciPy's reader fails in many ways
        raise files.DataError(_damaged(path, "a MATLAB file of version 5", str(error))) from error
    if "expmapchannels" not in variables:
        names = ", ".join(name for name in variables if not name.startswith("__"))
        raise files.DataError(_damaged(path, "a variable expmapchannels", names or "no variable"))
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
        return _parse(path.read_text())
    except ValueError as error:
        raise files.DataError(_damaged(path, "a segmentation", str(error))) from error


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


def unscale(
    values: Float[np.ndarray, "*batch kept"], by: Scale
) -> Float[np.ndarray, "*batch feature"]:
    """Undo ``scale``; columns that were not kept get their mean.

    Raises:
        ValueError: if the number of columns is not that of the columns kept.
    """
    _check_columns(values, len(by.kept))
    frames = np.broadcast_to(by.mean, (*values.shape[:-1], len(by.mean))).astype(np.float32)
    frames[..., by.kept] += values * by.deviation[by.kept]
    return frames


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

        x_j = x_p + G_p o_j,   G_j = G_p R_j,   R_j = exp([-r_j]_x),   p the parent of j

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


def _action(name: str) -> str:
    return name.rpartition("_")[0]


def _names_of(action: str) -> list[str]:
    if action not in ACTIONS:
        near = get_close_matches(action, ACTIONS, n=1)
        hint = f" ({near[0]!r} looks like it)" if near else ""
        raise ValueError(f"action {action!r} is unknown: choose from {', '.join(ACTIONS)}{hint}.")
    return [name for name in _SEQUENCES if _action(name) == action]


def _here_or_all(names: list[str]) -> list[str]:
    return [name for name in names if _at_hand(_sequence_file(name))] or names


def _sequence_file(name: str) -> _File:
    action = _action(name)
    local = f"{'test' if action == 'washwindow' else 'train'}/{action}/{name}.txt"
    return _File(local, f"data/cmu_mocap/{local}", _SEQUENCES[name])


def _trial_files(name: str) -> tuple[_File, _File]:
    frames, truth = _TRIALS[name]
    segmentation = f"{name}_ground_truth.txt"
    return (
        _File(f"subject_86/{name}.mat", f"data/cmu_mocap/subject_86/expmap/{name}.mat", frames),
        _File(f"subject_86/{segmentation}", f"segmentation_ground-truth/{segmentation}", truth),
    )


def _recording(name: str, frames_path: Path, truth_path: Path) -> Recording:
    frames, truth = read_recording(frames_path), read_ground_truth(truth_path)
    # the published files count up to one frame more or less than there are
    if abs(truth.end - len(frames)) > 1:
        raise files.DataError(_damaged(truth_path, f"an end near {len(frames)}", f"{truth.end}"))
    distinct = list(dict.fromkeys(truth.activities))
    numbers = [distinct.index(activity) for activity in truth.activities]
    labels = np.repeat(numbers, np.diff([0, *truth.best, len(frames)]))
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
        raise files.DataError(_damaged(path, f"rows of {columns} numbers", f"shape {frames.shape}"))
    if frames.dtype.kind != "f" or not np.isfinite(frames).all():
        raise files.DataError(
            _damaged(path, "finite numbers", f"NaN or infinity or {frames.dtype}")
        )
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


def _folder_at_hand() -> Path | None:
    setting = os.environ.get(files.SETTING)
    if not setting:
        return None
    root = Path(setting).expanduser()
    if not root.is_dir():
        raise files.DataError(
            f"{files.SETTING} names {root}, which is no folder: correct or unset it."
        )
    return root / "cmu_mocap"


def _at_hand(file: _File) -> Path | None:
    folder = _folder_at_hand()
    return folder / file.local if folder and (folder / file.local).is_file() else None


def _verified(file: _File) -> Path:
    """Return the path of a file whose checksum holds: at hand, or else downloaded."""
    path = _at_hand(file)
    if path is None:
        return _download(file)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != file.checksum:
        raise files.DataError(_damaged(path, f"sha256 {file.checksum}", f"sha256 {found}"))
    return path


def _download(file: _File) -> Path:
    """Download a file into pooch's cache, unless it is there already."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    url, target = ADDRESS + file.remote, pooch.os_cache("rnnatomy") / "cmu_mocap" / file.local
    try:
        pooch.retrieve(
            url,
            f"sha256:{file.checksum}",
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=SECONDS),
        )
    except OSError as error:  # also all errors of the network
        raise files.DataUnavailable(
            f"CMU motion capture is out of reach: there is no {file.local} at hand, and {url} does "
            f"not answer ({error}); go online, or set {files.SETTING} to a folder with "
            f"cmu_mocap/{file.local}."
        ) from error
    except ValueError as error:
        raise files.DataError(
            f"{url} is not the file expected ({error}): try again later."
        ) from error
    return target


def _damaged(path: Path, expected: str, found: str) -> str:
    return (
        f"{path} is damaged: expected {expected}, found {found}. "
        f"Replace the file, or unset {files.SETTING} to download it."
    )
