import numpy as np
import pytest

from unimask.errors import OutputError
from unimask.formats.panoptic_png import decode_ids, encode_ids


def test_ids_come_back():
    ids = np.array([[0, 1, 255], [256, 65536, 256**3 - 1]], np.int32)
    assert encode_ids(ids)[1, 1].tolist() == [0, 0, 1]
    assert np.array_equal(decode_ids(encode_ids(ids)), ids)


@pytest.mark.parametrize("bad", [-1, 256**3])
def test_ids_that_do_not_fit_are_refused(bad):
    with pytest.raises(OutputError):
        encode_ids(np.array([[bad]]))
