"""The owner's data file, good and bad."""

import io
import struct
import tracemalloc
import zipfile

import hostile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnatomy.networks.foreign import load, owner, raw

N, T, F = 4, 5, 3
INPUTS = np.random.default_rng(0).normal(size=(N, T, F)).astype(np.float32)
LENGTHS = np.array([5, 1, 3, 2])
REAL = np.arange(T) < LENGTHS[:, None]
NAN, INF = np.full_like(INPUTS, np.nan), np.full_like(INPUTS, np.inf)


def zipped(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def members(method=zipfile.ZIP_STORED, **contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def header(shape, descr="<f4", order="False", version=b"\1\0"):
    words = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(words)) + words


def read(folder, content):
    path = folder / "data.npz"
    path.write_bytes(content)
    return owner.read(path)


def given_(folder, **arrays):
    return read(folder, zipped(**{"inputs": INPUTS, **arrays}))


def refused(folder, content, words):
    with pytest.raises(raw.ForeignError, match=words) as caught:
        read(folder, content)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500 and "'data.npz'" in message


def test_inputs_alone_are_whole_sequences(tmp_path):
    found = given_(tmp_path)
    np.testing.assert_array_equal(found.inputs, INPUTS)
    np.testing.assert_array_equal(found.lengths, [T] * N)
    assert found[2:] == (None, None, None, None, ())


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4", ">f8", "<i8", ">i2", "u1", "?", "g"])
def test_inputs_of_any_type_become_single(tmp_path, kind):
    array = np.round(4 * INPUTS).astype(kind) if kind not in ("u1", "?") else INPUTS > 0
    for laid in (array.astype(kind), np.asfortranarray(array.astype(kind))):
        found = given_(tmp_path, inputs=laid)
        assert found.inputs.dtype == np.float32 and found.inputs.dtype.isnative
        np.testing.assert_array_equal(found.inputs, array.astype(np.float32))


def test_a_packed_file_is_read(tmp_path):
    file = io.BytesIO()
    np.savez_compressed(file, inputs=INPUTS)
    np.testing.assert_array_equal(read(tmp_path, file.getvalue()).inputs, INPUTS)


def test_all_that_may_be_given(tmp_path):
    outputs = np.random.default_rng(1).normal(size=(2, 7))
    found = given_(
        tmp_path,
        lengths=LENGTHS,
        labels=np.array([2, 0, 1, 2], np.uint8),
        targets=INPUTS[..., :2],
        outputs=outputs,
        names=np.array(["а", "<b>b</b>", "日本 語"]),
    )
    np.testing.assert_array_equal(found.lengths, LENGTHS)
    np.testing.assert_array_equal(found.labels, [2, 0, 1, 2])
    np.testing.assert_array_equal(found.outputs, outputs.astype(np.float32))
    np.testing.assert_array_equal(found.targets, np.where(REAL[..., None], INPUTS[..., :2], 0))
    assert found.names == ("а", "<b>b</b>", "日本 語") and found.notes == ()
    assert found.labels.dtype.kind == "i" and found.targets.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_after_its_end_a_sequence_may_hold_anything(tmp_path, bad):
    inputs = np.where(REAL[..., None], INPUTS.astype(float), bad)
    arrays = {"inputs": inputs, "outputs": inputs[:3], "targets": inputs}
    for told in ({"lengths": LENGTHS}, {"mask": REAL}, {"mask": REAL.astype(float)}):
        found = given_(tmp_path, **arrays, **told)
        whole = np.where(REAL[..., None], INPUTS, 0)
        for array, truth in (
            (found.inputs, whole),
            (found.outputs, whole[:3]),
            (found.targets, whole),
        ):
            np.testing.assert_array_equal(array, truth)
        np.testing.assert_array_equal(found.lengths, LENGTHS)
        assert found.notes == ()


def test_frames_that_a_mask_leaves_out_are_no_frames(tmp_path):
    mask = np.array([[0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1]])
    bad = np.where(mask[..., None] == 1, INPUTS, np.nan)
    found = given_(tmp_path, inputs=bad, outputs=bad[:2], targets=2 * bad, mask=mask)
    np.testing.assert_array_equal(found.lengths, [3, 3, 2, 1])
    for k, counts in enumerate(mask == 1):
        rest = np.zeros((T - counts.sum(), F))
        truth = np.concatenate([INPUTS[k, counts], rest])
        np.testing.assert_array_equal(found.inputs[k], truth)
        np.testing.assert_array_equal(found.targets[k], 2 * truth)
        if k < 2:
            np.testing.assert_array_equal(found.outputs[k], truth)
    assert len(found.notes) == 1 and "moved to the front" in found.notes[0]
    # outputs of whole sequences stay
    outputs = np.arange(8.0).reshape(4, 2)
    found = given_(tmp_path, mask=mask, outputs=outputs)
    np.testing.assert_array_equal(found.outputs, outputs)


def test_sequences_without_a_frame_cannot_be_compacted():
    counts = np.ones((N, T), bool)
    counts[2] = False
    with pytest.raises(raw.ForeignError, match="sequence 2 has no frame that counts"):
        owner.compacted(INPUTS, counts)


def test_labels_may_be_names(tmp_path):
    for labels in (np.array(["b", "ä", "a", "b"]), np.array(["b", "ä", "a", "b"]).astype("<U9")):
        found = given_(tmp_path, labels=labels)
        assert found.names == ("a", "b", "ä")
        assert found.labels.tolist() == [1, 2, 0, 1] and "'a' is 0" in found.notes[0]
    found = given_(tmp_path, labels=np.array([b"y", b"x", b"x", b"y"]))
    assert found.names == ("x", "y") and found.labels.tolist() == [1, 0, 0, 1]
    found = given_(tmp_path, labels=labels, names=np.array(["ä", "c", "b", "a"]))
    assert found.names == ("ä", "c", "b", "a") and found.labels.tolist() == [2, 0, 3, 2]
    assert found.notes == ()


FRAMES = np.random.default_rng(2).integers(0, 3, (N, T))
WORDS = np.array(["a", "ä", "c"])
GAPS = np.array([[0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1]]) == 1


def at_the_front(array, counts):
    """Sequence by sequence, what counts, then zero."""
    rows = zip(array, counts, strict=True)
    return [[*row[real].tolist(), *[0] * int(T - real.sum())] for row, real in rows]


@pytest.mark.parametrize("beside", [-1, 10**6, np.nan, np.inf, -0.5])
@pytest.mark.parametrize("told", ["lengths", "mask", "gaps"])
def test_labels_may_be_of_each_frame(tmp_path, told, beside):
    counts = GAPS if told == "gaps" else REAL
    kept = {"lengths": LENGTHS} if told == "lengths" else {"mask": counts}
    labels = np.where(counts, FRAMES, np.array(beside))
    found = given_(tmp_path, labels=labels, names=WORDS, **kept)
    assert found.labels.dtype.kind == "i" and found.labels.tolist() == at_the_front(FRAMES, counts)
    notes = ["moved to the front"] * (told == "gaps")
    notes += ["as floats"] * (labels.dtype.kind == "f")
    assert len(found.notes) == len(notes)
    assert all(words in note for words, note in zip(notes, found.notes, strict=True))


@pytest.mark.parametrize("beside", ["", "zz", "\x1b[2J", "\ud800", "a" * 101])
def test_labels_of_each_frame_may_be_names(tmp_path, beside):
    labels = np.where(GAPS, WORDS[FRAMES], beside)
    found = given_(tmp_path, labels=labels, mask=GAPS)
    numbers = np.array([0, 2, 1])[FRAMES]  # in the order of the alphabet
    assert found.names == ("a", "c", "ä") and found.labels.tolist() == at_the_front(numbers, GAPS)
    found = given_(tmp_path, labels=labels, mask=GAPS, names=np.array(["x", *WORDS]))
    assert found.labels.tolist() == at_the_front(1 + FRAMES, GAPS)
    in_bytes = np.where(GAPS, np.array([b"x", b"y", b"z"])[FRAMES], b"\xff")
    found = given_(tmp_path, labels=in_bytes, mask=GAPS)
    assert found.names == ("x", "y", "z") and found.labels.tolist() == at_the_front(FRAMES, GAPS)


def test_what_does_not_count_is_no_second_class(tmp_path):
    found = given_(tmp_path, labels=np.where(REAL, 2, 1), lengths=LENGTHS)
    assert found.labels.tolist() == (2 * REAL).tolist() and "one class" in found.notes[0]
    assert given_(tmp_path, labels=REAL, mask=np.ones((N, T))).notes == ()


def test_one_frame_has_one_label_in_either_form(tmp_path):
    labels = np.array([1, 0, 2, 1])
    for given_labels in (labels, labels[:, None]):
        found = given_(tmp_path, inputs=INPUTS[:, :1], labels=given_labels)
        np.testing.assert_array_equal(found.labels, given_labels)


def test_numbers_of_frames_are_moved_whatever_their_axes():
    for array in (FRAMES, INPUTS, INPUTS[..., None]):
        found = owner.front(array, GAPS)
        assert found.dtype == array.dtype and found.shape == array.shape
        for row, whole, counts in zip(found, array, GAPS, strict=True):
            np.testing.assert_array_equal(row[: counts.sum()], whole[counts])
            assert not row[counts.sum() :].any()


def test_labels_of_frames_that_a_network_skips_are_left_out(tmp_path):
    inputs = np.where(GAPS[..., None], INPUTS, np.float32(-1))
    inputs[0, 4] = 7  # after the end, where nothing is skipped and nothing counts
    found = given_(tmp_path, inputs=inputs, labels=FRAMES, lengths=np.array([4, 5, 5, 5]))
    counts = GAPS & ~((np.arange(N) == 0)[:, None] & (np.arange(T) == 4))
    skipped, notes = load.masked(found, -1.0)
    assert skipped.labels.tolist() == at_the_front(FRAMES, counts) and len(notes) == 1
    np.testing.assert_array_equal(skipped.lengths, counts.sum(axis=1))
    assert skipped.labels.dtype == found.labels.dtype
    whole = given_(tmp_path, inputs=inputs, labels=np.array([2, 0, 1, 2]))
    np.testing.assert_array_equal(load.masked(whole, -1.0)[0].labels, [2, 0, 1, 2])


def test_what_is_unusual_is_told(tmp_path):
    found = given_(tmp_path, labels=np.array([1.0, 0, 2, 1]), aux=INPUTS, lables=LENGTHS)
    assert found.labels.dtype.kind == "i" and found.labels.tolist() == [1, 0, 2, 1]
    assert "Not read: 'aux', 'lables'" in found.notes[0] and "as floats" in found.notes[1]
    found = given_(tmp_path, labels=np.array([3, 3, 3, 3]))
    assert "one class" in found.notes[0]
    assert given_(tmp_path, labels=np.array([True, False, True, True])).labels.tolist() == [
        *(1, 0, 1, 1)
    ]


def test_names_may_be_of_any_alphabet(tmp_path):
    names = ["Ελλη", "नमस्ते", "می‌خواهم", "👩‍🔬", "</script>", "a\u3000b", "שלום"]
    assert given_(tmp_path, names=np.array(names)).names == tuple(names)


BAD = {
    "no inputs": ({"inputs": None, "outputs": INPUTS}, "it holds no inputs"),
    "no feature axis": ({"inputs": INPUTS[..., 0]}, r"shape \(4, 5\).*give inputs\[:, :, None\]"),
    "one axis": ({"inputs": INPUTS[0, 0]}, "give three axes"),
    "a number": ({"inputs": np.float32(1)}, r"shape \(\).*give three axes"),
    "images": ({"inputs": INPUTS[..., None]}, r"give inputs.reshape\(\*inputs.shape\[:2\], -1\)"),
    "no sequence": ({"inputs": INPUTS[:0]}, r"\(0, 5, 3\), which is no number at all"),
    "no frame": ({"inputs": INPUTS[:, :0]}, r"\(4, 0, 3\), which is no number at all"),
    "no feature": ({"inputs": INPUTS[..., :0]}, r"\(4, 5, 0\), which is no number at all"),
    "complex": (
        {"inputs": INPUTS + 0j},
        r"inputs are complex: give real numbers, such as inputs.r",
    ),
    "text": ({"inputs": INPUTS.astype(str)}, "inputs are of type 'str[0-9]+': give real numbers"),
    "times": ({"inputs": INPUTS.astype("M8[s]")}, "inputs are of type 'datetime64"),
    "fields": ({"inputs": np.zeros((4, 5, 3), "f4,f4")}, "inputs are of type 'void64'"),
    "not a number": ({"inputs": NAN}, "inputs hold NaN or infinite numbers, first in sequence 0"),
    "infinite": ({"inputs": np.where(INPUTS > 1, INF, INPUTS)}, "NaN or infinite numbers, first"),
    "overflow": (
        {"inputs": INPUTS.astype(float) * 1e300},
        "inputs hold numbers too large for single precision",
    ),
    "lengths of others": ({"lengths": LENGTHS[:3]}, r"lengths have shape \(3,\): give frames"),
    "a column of lengths": ({"lengths": LENGTHS[:, None]}, r"lengths have shape \(4, 1\)"),
    "length 0": ({"lengths": LENGTHS - 1}, "a length of 0: give whole numbers from 1 to 5"),
    "length beyond": ({"lengths": LENGTHS + 1}, "a length of 6: give whole numbers from 1 to 5"),
    "half a length": ({"lengths": LENGTHS - 0.5}, "a length of 4.5: give whole numbers"),
    "no length": ({"lengths": LENGTHS * np.nan}, "a length of nan: give whole numbers"),
    "true lengths": ({"lengths": LENGTHS > 0}, "lengths are of type 'bool'"),
    "both": ({"lengths": LENGTHS, "mask": REAL}, "lengths and mask are both given"),
    "a mask of others": ({"mask": REAL[:, :4]}, r"mask have shape \(4, 4\): .* shape \(4, 5\)"),
    "a mask of features": ({"mask": INPUTS > 0}, r"mask have shape \(4, 5, 3\)"),
    "an empty mask": ({"mask": REAL & (LENGTHS[:, None] > 1)}, "no frame of sequence 1"),
    "half a mask": ({"mask": REAL / 2}, "mask holds other than 0 and 1"),
    "no mask": ({"mask": REAL * np.nan}, "mask holds other than 0 and 1"),
    "labels of others": ({"labels": LENGTHS[:3]}, r"labels have shape \(3,\)"),
    "labels of other frames": (
        {"labels": REAL[:, :4] * 1},
        r"give one class for each sequence, or for each frame, .* \(4,\) or \(4, 5\)",
    ),
    "labels of fewer frames": ({"labels": REAL[:3] * 1}, r"labels have shape \(3, 5\): give one"),
    "a column of labels": ({"labels": LENGTHS[:, None]}, r"labels have shape \(4, 1\): give one"),
    "labels of features": ({"labels": INPUTS > 0}, r"labels have shape \(4, 5, 3\): give one"),
    "a label": ({"labels": np.array(1)}, r"labels have shape \(\): give one class"),
    "a negative frame": (
        {"labels": np.where(FRAMES == 2, -1, FRAMES)},
        "labels hold -1: .* frames that only fill up by lengths or a mask",
    ),
    "half a frame": ({"labels": FRAMES / 2, "lengths": LENGTHS}, "labels are no whole numbers"),
    "a frame of no number": (
        {"labels": np.where(REAL, np.nan, 0), "lengths": LENGTHS},
        "labels are no whole numbers",
    ),
    "a frame of a far class": (
        {"labels": FRAMES * 10**6, "lengths": LENGTHS},
        r"label 2e\+06 stands for more than 10000",
    ),
    "frames without names": ({"labels": FRAMES, "names": WORDS[:2]}, "names are 2, labels go to 2"),
    "a frame of no name": (
        {"labels": WORDS[FRAMES], "names": WORDS[:2], "lengths": LENGTHS},
        "label 'c' is none of names",
    ),
    "a frame of no letter": (
        {"labels": np.where(REAL, WORDS[FRAMES], ""), "mask": REAL[:, ::-1]},
        "name '' is empty",
    ),
    "negative labels": ({"labels": LENGTHS - 2}, "labels hold -1: give classes by number, from 0"),
    "half labels": ({"labels": LENGTHS / 2}, "labels are no whole numbers"),
    "no labels": ({"labels": LENGTHS * np.nan}, "labels are no whole numbers"),
    "infinite labels": ({"labels": LENGTHS * np.inf}, "labels are no whole numbers"),
    "a million classes": ({"labels": LENGTHS * 10**6}, r"label 5e\+06 stands for more than 10000"),
    "2**64 classes": ({"labels": np.full(4, 2**64 - 1, np.uint64)}, "stands for more than 10000"),
    "complex labels": ({"labels": LENGTHS + 0j}, "labels are complex"),
    "labels of no letter": ({"labels": np.array(["a", "", "b", "c"])}, "name '' is empty"),
    "labels of length 0": ({"labels": np.zeros(4, "U0")}, "labels are of type|name '' is empty"),
    "bytes of no text": ({"labels": np.array([b"\xff", b"a", b"b", b"c"])}, "no text of Unicode"),
    "too few names": ({"labels": LENGTHS, "names": np.array([*"abcde"])}, "names are 5, labels go"),
    "names of numbers": ({"names": LENGTHS}, "names are of type 'int64': give text"),
    "names in rows": ({"names": np.array([["a"]])}, r"names of classes have shape \(1, 1\)"),
    "no names": ({"names": np.array([], "U3")}, r"names of classes have shape \(0,\)"),
    "a name twice": ({"names": np.array(["a", "a"])}, "two classes have one name"),
    "a blank name": ({"names": np.array(["a", " \t"])}, "is empty, longer than 100 letters, or"),
    "a long name": ({"names": np.array(["a" * 101])}, "longer than 100 letters"),
    "a name of two lines": ({"names": np.array(["a\nb"])}, r"name 'a\\nb' is empty, longer"),
    "an escape": ({"names": np.array(["\33[2J"])}, "or holds control characters"),
    "turned writing": ({"names": np.array(["a\u202eb"])}, "or holds control characters"),
    "half a letter": ({"names": np.array(["\ud800"])}, "or holds control characters"),
    "a label of no name": (
        {"labels": np.array(["a", "b", "a", "a"]), "names": np.array(["a", "c"])},
        "label 'b' is none of names",
    ),
    "outputs of more": ({"outputs": np.ones((5, 2))}, "outputs are of 5 sequences, inputs of 4"),
    "outputs of none": ({"outputs": np.ones((0, 2))}, r"outputs have shape \(0, 2\)"),
    "outputs in a row": ({"outputs": np.ones(4)}, r"outputs have shape \(4,\): give \(sample, out"),
    "outputs of 4 axes": ({"outputs": np.ones((4, 5, 2, 2))}, r"outputs have shape \(4, 5, 2, 2\)"),
    "other frames": ({"outputs": np.ones((4, 4, 2))}, r"or \(sample, 5, out\) for one of each"),
    "no classes": ({"outputs": np.ones((4, 0))}, r"outputs have shape \(4, 0\)"),
    "outputs not finite": ({"outputs": np.full((2, 2), np.nan)}, "outputs hold NaN or infinite"),
    "outputs within": ({"outputs": NAN, "lengths": LENGTHS}, "outputs hold NaN or infinite"),
    "complex outputs": ({"outputs": np.ones((4, 2)) + 0j}, "outputs are complex"),
    "targets of fewer": ({"targets": np.ones((3, 2))}, "targets are of 3 sequences, inputs of 4"),
    "targets in a row": ({"targets": np.ones(4)}, r"targets have shape \(4,\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_data_is_refused(tmp_path, name):
    arrays, words = BAD[name]
    whole = {"inputs": INPUTS, **arrays}
    kept = {key: array for key, array in whole.items() if array is not None}
    refused(tmp_path, zipped(**kept), words)


@pytest.mark.parametrize("name", owner.KINDS)
def test_objects_are_refused_and_nothing_of_them_is_run(tmp_path, name):
    mark = tmp_path / "mark"

    class Planted:
        def __reduce__(self):
            return open, (str(mark), "w")

    ragged = np.array([Planted(), Planted()], object)
    content = zipped(**{"inputs": INPUTS, name: ragged})
    refused(tmp_path, content, f"{name} holds objects of Python, which are not read")
    assert not mark.exists()


GOOD = zipped(inputs=INPUTS)
PLAIN = header((4, 5, 3)) + INPUTS.tobytes()
FILES = {
    "text": (b"inputs: none", "no .npz, which is a zip"),
    "one array": (PLAIN, r"it is one array \(.npy\)"),
    "start alone": (b"PK", "no whole zip file"),
    "no members": (members(), "it holds no inputs"),
    "cut": (GOOD[:-1], "no whole zip file"),
    "without its start": (GOOD[20:], "no .npz, which is a zip"),
    "a number changed": (GOOD.replace(INPUTS[1].tobytes(), INPUTS[2].tobytes()), "Bad CRC"),
    "another member": (GOOD.replace(b"inputs.npy", b"inputs.txt"), "it holds no inputs"),
    "a path up": (members(inputs=PLAIN, **{"../x": b""}), "a path out of its folder"),
    "a path from the root": (members(inputs=PLAIN, **{"/x": b""}), "a path out of its folder"),
    "one name twice": (
        members(inputs=PLAIN, inputt=PLAIN).replace(b"inputt", b"inputs"),
        "two members of one name",
    ),
    "packed by bzip2": (members(zipfile.ZIP_BZIP2, inputs=PLAIN), "is packed .by 12., which is"),
    "packed by lzma": (members(zipfile.ZIP_LZMA, inputs=PLAIN), "is packed .by 14., which is not"),
    "no array": (members(inputs=b"1 2 3"), "damaged"),
    "an empty member": (members(inputs=b""), "damaged"),
    "no header": (members(inputs=b"\x93NUMPY\1\0"), "damaged"),
    "a header of no use": (members(inputs=b"\x93NUMPY\1\0\2\0{}"), "damaged"),
    "a header cut": (members(inputs=header((4, 5, 3))[:-9]), "damaged"),
    "a long header": (
        members(inputs=b"\x93NUMPY\2\0" + struct.pack("<I", 2**31) + b" " * 20000),
        "damaged",
    ),
    "a header nested": (members(inputs=header("(" * 3000 + ")" * 3000)), "damaged"),
    "a header that runs": (members(inputs=header("__import__('os').abort()")), "damaged"),
    "version 9": (members(inputs=header((4, 5, 3), version=b"\x09\0")), "damaged|of format"),
    "version 3": (
        members(inputs=b"\x93NUMPY\3\0\4\0\0\0{ } "),
        r"an array of format \(3, 0\), which is not read",
    ),
    "data cut": (
        members(inputs=PLAIN[:-4]),
        r"inputs of shape \(4, 5, 3\) has [0-9]+ bytes, which",
    ),
    "data left": (members(inputs=PLAIN + b"\0"), r"inputs of shape \(4, 5, 3\) has [0-9]+ bytes"),
    "a huge side": (members(inputs=header((2**62, 2**62, 4))), "bytes, which is damage"),
    "huge sides of none": (members(inputs=header((2**62, 2**62, 0))), "damaged"),
    "a negative side": (members(inputs=header((-4, -5, 3)) + INPUTS.tobytes()), "which is damage"),
    "a side that is true": (members(inputs=header("(True, True, 1)") + bytes(4)), "damaged|which"),
    "many sides of none": (members(inputs=header((0,) * 99)), "damaged|three axes"),
    "text of no letters": (members(inputs=PLAIN, names=header((10**12,), "<U0")), "of type 'str"),
    "text beyond Unicode": (
        members(inputs=PLAIN, names=header((1,), "<U1") + b"\xff" * 4),
        "names are no text of Unicode, which is damage",
    ),
    "a list of fields": (members(inputs=header((1,), [("a", "<f4")])), "damaged|void"),
    "parts of parts": (members(inputs=header((1,), ("<f4", (2**31,)))), "damaged"),
    "an unknown type": (members(inputs=header((1,), "<q99")), "damaged"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_numpy_does_not_write_are_refused(tmp_path, name):
    content, words = FILES[name]
    refused(tmp_path, content, words)


def test_an_old_header_is_read(tmp_path):
    found = read(tmp_path, members(inputs=header("(4L, 5L, 3L)") + INPUTS.tobytes()))
    np.testing.assert_array_equal(found.inputs, INPUTS)


def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    content = members(zipfile.ZIP_DEFLATED, inputs=PLAIN, x=bytes(2**22), y=bytes(2**22))
    monkeypatch.setattr(raw, "LARGEST", 2**22)
    tracemalloc.start()
    refused(tmp_path, content, "unpack to 8388[0-9]+, at most .* and 4194304 are read")
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(tmp_path):
    bomb = members(zipfile.ZIP_DEFLATED, inputs=PLAIN + bytes(2**26))
    place = bomb.index(b"PK\1\2") + 24
    lying = bomb[:place] + struct.pack("<I", len(PLAIN)) + bomb[place + 4 :]
    tracemalloc.start()
    refused(tmp_path, lying, "damaged.*Bad CRC")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_an_encrypted_member_is_refused(tmp_path):
    place = GOOD.index(b"PK\1\2") + 8
    refused(tmp_path, GOOD[:place] + b"\1" + GOOD[place + 1 :], "encrypted")


@pytest.mark.parametrize("what", ["missing", "folder", "empty"])
def test_what_is_no_file_is_refused(tmp_path, what):
    path = tmp_path / "data.npz"
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    words = {"missing": "is missing", "folder": "no plain file", "empty": "has 0 bytes"}[what]
    with pytest.raises(raw.ForeignError, match=words):
        owner.read(path)


WHOLE = {
    "inputs": INPUTS,
    "mask": REAL[:, ::-1],
    "labels": np.array(["a", "b", "b", "a"]),
    "outputs": INPUTS[:2, 0],
    "names": np.array(["b", "a", "ä"]),
}


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


NUMBERS = st.sampled_from([np.nan, np.inf, -1, 0, 0.5, 1, 2, 1e6, 1e300])
DRAWN = st.one_of(
    st.lists(NUMBERS, min_size=N, max_size=N).map(np.array),
    st.lists(st.text(max_size=3), min_size=1, max_size=N).map(np.array),
    st.lists(st.integers(0, 6), max_size=4).map(lambda shape: np.ones(shape)),
    st.lists(NUMBERS, min_size=N * T, max_size=N * T).map(lambda row: np.reshape(row, (N, T))),
    st.lists(st.text(max_size=3), min_size=T, max_size=T).map(lambda row: np.array([row] * N)),
    st.sampled_from(["f2", "i8", "?", "U2", "S2", "c8", "M8[s]"]).map(lambda k: np.zeros(N, k)),
    st.sampled_from(["f2", "i8", "?", "U2", "S2", "c8"]).map(lambda k: np.zeros((N, T), k)),
)


@settings(max_examples=300)
@given(data=st.data())
def test_any_file_is_read_or_refused(tmp_path_factory, data):
    """The zip is changed, one array's bytes, or arrays are others."""
    how = data.draw(st.sampled_from(["zip", "bytes", "arrays"]))
    parts = {name: npy(array) for name, array in WHOLE.items()}
    if how == "bytes":
        name = data.draw(st.sampled_from(sorted(parts)))
        parts[name] = hostile.mutated(parts[name], data)
    elif how == "arrays":
        for name in data.draw(st.lists(st.sampled_from(sorted(owner.KINDS)), max_size=3)):
            parts[name] = npy(data.draw(DRAWN))
    content = members(**parts)
    try:
        found = read(
            tmp_path_factory.getbasetemp(),
            hostile.mutated(content, data) if how == "zip" else content,
        )
    except raw.ForeignError as error:
        assert str(error).isprintable()
    else:
        assert found.inputs.dtype == np.float32 and np.isfinite(found.inputs).all()
        assert ((found.lengths >= 1) & (found.lengths <= found.inputs.shape[1])).all()
        assert len(found.lengths) == len(found.inputs)
        assert found.labels is None or found.labels.shape in ((N,), found.inputs.shape[:2])
        if found.labels is not None and found.names is not None:
            assert found.labels.min() >= 0 and found.labels.max() < len(found.names)
