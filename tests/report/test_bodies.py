import matplotlib.pyplot as plt
import numpy as np
import pytest

from rnnatomy.report import bodies

PARENTS = np.array([-1, 0, 1, 0])
"""A trunk of two bones, and a leg."""


@pytest.fixture
def drawn():
    """Draw one pose per frame of a body that rises by one a frame."""
    body = np.array([[9.0, 0.0, 0.0], [9.0, 1.0, 0.5], [9.0, 2.0, 0.0], [9.0, -1.0, 0.0]])
    joints = body + np.arange(7.0)[:, None, None] * [0.0, 1.0, 0.0]
    figure, ax = plt.subplots()
    yield bodies.poses(ax, joints, PARENTS).lines, ax
    plt.close(figure)


def test_each_bone_goes_from_a_joint_to_the_one_it_hangs_from(drawn):
    lines, _ = drawn
    assert len(lines) == 4 * 3  # poses, bones
    first = [line.get_xydata().tolist() for line in lines[:3]]
    assert first == [[[0, 0], [0.5, 1]], [[0.5, 1], [0, 2]], [[0, 0], [0, -1]]]


def test_poses_are_evenly_apart_in_time_and_on_the_page_from_first_to_last(drawn):
    lines, _ = drawn
    roots = np.array([line.get_xydata()[0] for line in lines[::3]])
    assert roots[:, 1].tolist() == [0, 2, 4, 6]
    assert roots[:, 0].tolist() == [bodies.APART * k for k in range(4)]


def test_later_poses_are_darker_and_the_axes_bare(drawn):
    lines, ax = drawn
    assert np.all(np.diff([line.get_alpha() for line in lines[::3]]) > 0)
    assert all(0 < line.get_alpha() <= 1 for line in lines)
    assert not len(ax.get_xticks()) and not len(ax.get_yticks())
    assert ax.get_aspect() == 1


def test_one_pose_is_the_first_frame():
    _, ax = plt.subplots()
    bodies.poses(ax, np.arange(24.0).reshape(2, 4, 3), PARENTS, count=1)
    assert ax.lines[0].get_xydata()[0].tolist() == [2, 1]
    plt.close(ax.figure)


def test_what_is_no_movement_has_one_strength_and_its_own_colour_and_place():
    _, ax = plt.subplots()
    joints = np.arange(24.0).reshape(2, 4, 3)
    bodies.poses(ax, joints, PARENTS, 2, colour="k", fades=False, place=3)
    assert {(line.get_color(), line.get_alpha()) for line in ax.lines} == {("k", 1)}
    roots = [line.get_xydata()[0, 0] for line in ax.lines[::3]]
    assert roots == [2 + 3 * bodies.APART, 14 + 4 * bodies.APART]
    plt.close(ax.figure)


def test_there_may_be_no_pose():
    _, ax = plt.subplots()
    bodies.poses(ax, np.zeros((0, 4, 3)), PARENTS, 0)
    assert not ax.lines
    plt.close(ax.figure)
