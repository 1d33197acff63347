"""Who was recorded: the number of the subject of each sequence, and holding out by it.

The files of Li et al. (2018) do not say who performs, and the authors have not kept the numbers. So
the last row of each file was compared with the last frames of the same recordings as BVH files,
which are named by subject and trial: places of the root agree in all their four decimals. Two files
could not be compared. Their numbers follow from the order, as the files of an action come in the
order of the database. A number stands for whoever was recorded under it; whether two numbers are
one person is not known.
"""

from collections.abc import Sequence

from rnnatomy.data import mocap
from rnnatomy.studies.movement import protocols

TRIALS = {
    "walking_1": "02_01",
    "walking_2": "05_01",
    "walking_3": "06_01",
    "walking_4": "07_01",
    "walking_5": "07_02",
    "running_1": "35_17",
    "running_2": "16_36",
    "running_3": "35_23",
    "running_4": "35_25",
    "running_5": "35_24",
    "jumping_1": "13_11",
    "jumping_2": "49_03",
    "jumping_3": "13_19",
    "jumping_4": "13_32",
    "jumping_5": "13_39",
    "soccer_1": "10_01",
    "soccer_2": "10_02",
    "soccer_3": "10_03",
    "soccer_4": "10_05",
    "soccer_5": "10_06",
    "basketball_1": "06_02",
    "basketball_2": "06_03",
    "basketball_3": "06_04",
    "basketball_4": "06_05",
    "basketball_5": "06_06",
    "basketball_signal_1": "29_02",
    "basketball_signal_2": "29_07",
    "basketball_signal_3": "30_01",
    "basketball_signal_4": "30_07",
    "basketball_signal_5": "32_03",
    "directing_traffic_1": "13_26",
    "directing_traffic_4": "14_24",
    "washwindow_1": "14_12",
}
"""Subject and trial of each sequence in the CMU database."""


BY_ORDER = ("walking_1", "directing_traffic_1")
"""Sequences whose trial follows from the order of the files alone."""


def subject(name: str) -> str:
    """Return the number of the subject of a sequence, or of a part of one, such as "07".

    Args:
        name: such as "walking_4", or "washwindow_1/2" for its second half.

    Raises:
        ValueError: if nobody is known for it.
    """
    whole = name.partition("/")[0]
    if whole not in TRIALS:
        raise ValueError(f"the subject of {name!r} is not known: choose from {', '.join(TRIALS)}.")
    return TRIALS[whole].partition("_")[0]


def of_action(action: str) -> dict[str, list[str]]:
    """Return the names of the sequences of an action, by the number of their subject."""
    found: dict[str, list[str]] = {}
    for name in TRIALS:
        if name.rpartition("_")[0] == action:
            found.setdefault(subject(name), []).append(name)
    return found


def in_words(action: str) -> str:
    """Write the subjects of an action with the numbers of their files: "2 (1*); 5 (2)".

    A star marks a file whose trial follows from the order alone.
    """
    parts = []
    for number, names in of_action(action).items():
        files = [f"{name.rpartition('_')[2]}{'*' * (name in BY_ORDER)}" for name in names]
        parts.append(f"{int(number)} ({', '.join(files)})")
    return "; ".join(parts)


def hold_out(sequences: Sequence[mocap.Sequence], number: int) -> protocols.Parts:
    """Hold out all that one subject did, of each action that two subjects or more perform.

    Nothing of a subject that is held out, in whatever action, is trained on. Other actions are left
    out of both parts.

    Args:
        sequences: of any actions; their names tell their subjects.
        number: of the choice, from 0; the subject held out of each action moves on with it.

    Raises:
        ValueError: if a subject is not known, or no action has two subjects.
    """
    several, out = [], set()
    for action in dict.fromkeys(each.action for each in sequences):
        own = [each for each in sequences if each.action == action]
        numbers = list(dict.fromkeys(subject(each.name) for each in own))
        if len(numbers) > 1:
            several += own
            out.add((action, numbers[number % len(numbers)]))
    if not several:
        raise ValueError("no action has two subjects: give sequences of more people.")
    away = {person for _, person in out}
    held = [each for each in several if (each.action, subject(each.name)) in out]
    train = [each for each in several if subject(each.name) not in away]
    return protocols.part(train, held)


def met(number: int) -> list[bool]:
    """Tell of each sequence held out whether its subject is trained on in the same action.

    Args:
        number: of the choice, as of ``protocols.hold_out`` with all actions.
    """
    found = []
    for action in mocap.ACTIONS:
        own = [name for names in of_action(action).values() for name in names]
        # in the order of the files, and a single one in two halves
        own = sorted(own) if len(own) > 1 else [f"{own[0]}/1", f"{own[0]}/2"]
        out = protocols.places_held_out(len(own), number)
        known = {subject(name) for k, name in enumerate(own) if k not in out}
        found += [subject(own[k]) in known for k in sorted(out)]
    return found
