"""TensorFlow and TensorFlow Hub, imported in one place: quietly, and with the threading that measurements favour."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def stderr_closed() -> Iterator[None]:
    # On import, TensorFlow's C++ side writes notes on oneDNN and CUDA straight to file descriptor 2, before any log level applies.
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# 3 leaves out the "failed call to cuInit" of every machine without a GPU; failures still raise. An own value is respected.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow Hub imports Keras 2 (tf-keras); without this TensorFlow imports Keras 3 as well, a second or two for what nobody uses.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
with stderr_closed(), warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    import tensorflow as tf
    import tensorflow_hub as hub

__all__ = ["hub", "set_threads", "tf"]


def set_threads(workers: int) -> None:
    """Give each of ``workers`` concurrent runs one thread: few threads per run, several runs side by side.

    Measured on 2 cores with an SSD-sized detector: TensorFlow's defaults with one caller 24 pictures/s, with two callers 32; intra-op 1
    and inter-op 2 with two callers 38. TensorFlow takes this only before its first operation; later calls change nothing.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(workers)
