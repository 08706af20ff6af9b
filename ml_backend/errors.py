"""Exceptions: one for each stage of the pipeline.

Each class has an HTTP ``status`` for errors that answer a whole request, a short ``code`` for logs, metrics and the status page, and
``retryable``: whether the same task may succeed later without a change by a person. The message is one sentence with the problem, its
place and the remedy. ``str(error)`` is for the log, the command line and bulk jobs; ``error.public`` is for answers to requests.
"""

from typing import ClassVar


class PrelabelError(Exception):
    """Base class of all errors that Prelabel raises on purpose.

    Attributes:
        public: the text for answers and pages. It differs from the error's own text where that would reveal the answers of hosts
            that the caller cannot reach.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, text: str = "", *, public: str | None = None) -> None:
        super().__init__(text)
        self.public = text if public is None else public


class SettingsError(PrelabelError):
    """A setting has an invalid value. The start stops."""

    code = "bad_settings"


class StoppingError(PrelabelError):
    """The service ends: a balancer is to turn to another one."""

    status = 503
    code = "stopping"
    retryable = True


class RequestError(PrelabelError):
    """A request as a whole is invalid."""

    status = 422
    code = "bad_request"


class LabelConfigError(PrelabelError):
    """A label config cannot be served: not XML, no rectangle control, or no label that the detector knows."""

    status = 422
    code = "bad_label_config"


class TaskError(PrelabelError):
    """A task lacks the data that the label config refers to."""

    status = 422
    code = "bad_task"


class ImageReferenceError(PrelabelError):
    """A task names its image in a form that cannot or must not be fetched."""

    status = 422
    code = "bad_image_reference"


class ImageFetchError(PrelabelError):
    """An image could not be fetched: its host is unreachable, slow or refuses, or the body is empty or too large."""

    status = 502
    code = "image_not_fetched"
    retryable = True


class ImageUnreachableError(ImageFetchError):
    """The host of an image does not answer."""


class ImageRefusedError(ImageFetchError):
    """The host of an image refuses it: missing, or access denied. A retry does not help."""

    retryable = False


class TokenRefusedError(ImageRefusedError):
    """Label Studio refuses the token. None of its images can be fetched until a person changes that."""

    code = "token_refused"


class ImageDecodeError(PrelabelError):
    """The bytes are not a readable image: another file type, truncated, or over the pixel limit."""

    status = 422
    code = "image_not_readable"


class NotAnImageError(ImageDecodeError):
    """The bytes are another type of file, such as HTML or JSON; the message quotes them."""


class CacheError(PrelabelError):
    """A store of the cache failed. Tasks never fail with it: it is counted, and the detections are computed."""

    status = 503
    code = "cache"
    retryable = True


class LabelStudioError(PrelabelError):
    """Label Studio's API refuses a request, or has not answered for a long time."""

    status = 502
    code = "label_studio"
    retryable = True


class FeedbackError(PrelabelError):
    """Corrections cannot be stored, read or learned from at the moment. Predictions continue."""

    status = 503
    code = "feedback"
    retryable = True


class UnknownProjectError(FeedbackError):
    """No event of a project was ever kept."""

    status = 404
    code = "unknown_project"
    retryable = False


class BootstrapError(PrelabelError):
    """A bulk job cannot start or continue. Its results so far are kept."""

    code = "bootstrap"


class DeadlineError(PrelabelError):
    """The deadline of a request passed before the task was done. The work continues and fills the cache."""

    status = 504
    code = "deadline"
    retryable = True


class ModelLoadError(PrelabelError):
    """A model could not be loaded. The start stops."""

    status = 503
    code = "model_not_loaded"


class ModelContractError(ModelLoadError):
    """A model loads, but keeps no supported contract, or its classes are unknown."""

    code = "model_contract"


class ModelError(PrelabelError):
    """A model failed on one image."""

    code = "model_failed"
    retryable = True
