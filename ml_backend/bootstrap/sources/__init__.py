"""Where the pictures of a bulk job come from. A source is never held in memory as a whole."""

from ml_backend.bootstrap.sources.inputs import Inputs
from ml_backend.bootstrap.sources.lists import key_of_data, left_alone
from ml_backend.bootstrap.sources.opening import open_inputs

LOCAL_FILES = "/data/local-files/?d="
"""What Label Studio has in front of the path of a file that it serves itself."""

__all__ = ["LOCAL_FILES", "Inputs", "key_of_data", "left_alone", "open_inputs"]
