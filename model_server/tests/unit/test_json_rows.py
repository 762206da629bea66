import json
import threading

import numpy as np
import pytest

from model_server.json_rows import looks_like_rows, parse_rows

FLOAT32 = np.dtype(np.float32)
PLAIN = [
    b'{"instances":[[1,2.5],[3,-4e0]]}',
    b' {\n"instances" : [[1, 2.5], [3, -4.0]] } \n',
]
# Valid for TensorFlow Serving or not: the long way knows.
OTHER = [
    b"",
    b"{}",
    b"[[1,2]]",
    b'{"inputs":[[1,2]]}',
    b'{"instances":[]}',
    b'{"instances":[[]]}',
    b'{"instances":[1,2]}',
    b'{"instances":[[1,2,3]]}',
    b'{"instances":[[1,2],[3]]}',
    b'{"instances":[[1,],2[3,4]]}',
    b'{"instances":[[1,]2,[3,4]]}',
    b'{"instances":[[1 2,3],[3,4]]}',
    b'{"instances":[[1,NaN]]}',
    b'{"instances":[[1,Infinity]]}',
    b'{"instances":[[1,true]]}',
    b'{"instances":[[1,"2"]]}',
    b'{"instances":[[1,01]]}',
    b'{"instances":[[1,2.]]}',
    b'{"instances":[[1,+2]]}',
    b'{"instances":[[1,e]]}',
    b'{"instances":[[1,1e400]]}',
    b'{"instances":[[1,16777216]]}',
    b'{"instances":[[1,18446744073709551616]]}',
    b'{"instances":[[1,2]]}x',
    b'{"instances":[[1,2]]}\0',
    b'\xef\xbb\xbf{"instances":[[1,2]]}',
    b'{"instances":[[1,2]],"instances":[[3,4]]}',
    b'{"instances":[[1,2]],"signature_name":"s"}',
]


@pytest.mark.parametrize("body", OTHER)
def test_everything_else_is_left_to_the_long_way(body):
    assert parse_rows(body, FLOAT32, (2,)) is None


@pytest.mark.parametrize(
    ("dtype", "shape"), [(np.int32, (2,)), (np.float16, (2,)), (np.uint8, (2,)), (object, (2,)), (np.float32, (-1,))]
)
def test_other_inputs_are_left_to_the_long_way(dtype, shape):
    assert parse_rows(PLAIN[0], np.dtype(dtype), shape) is None


@pytest.mark.parametrize("body", PLAIN)
def test_plain_rows_are_read_exactly(body):
    assert looks_like_rows(body)
    rows = parse_rows(body, FLOAT32, (2,))
    assert rows is not None
    assert (rows.dtype, rows.tolist()) == (FLOAT32, [[1.0, 2.5], [3.0, -4.0]])


def test_scalars_and_images_have_their_shape():
    assert parse_rows(b'{"instances":[1,2.5]}', FLOAT32, ()).tolist() == [1.0, 2.5]
    images = np.random.default_rng(0).random((3, 8, 8, 3)).astype(np.float32)
    body = json.dumps({"instances": images.tolist()}).encode()
    np.testing.assert_array_equal(parse_rows(body, FLOAT32, (8, 8, 3)), images)


def test_many_threads_read_at_once():
    wrong = []

    def read(seed):
        images = np.random.default_rng(seed).random((2, 16, 16)).astype(np.float32)
        body = json.dumps({"instances": images.tolist()}).encode()
        read_back = [parse_rows(body, FLOAT32, (16, 16)) for _ in range(50)]
        wrong.extend(seed for rows in read_back if not np.array_equal(rows, images))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
