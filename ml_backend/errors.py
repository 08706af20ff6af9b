"""One exception per stage of the way that a task travels.

The class says what a caller needs: the HTTP ``status`` where the error answers a whole request, a short ``code`` for logs, metrics and
the diagnosis page, and whether the same task may succeed later without anyone changing anything (``retryable``). The message is one
sentence for a person: what was wrong, where, and what to do. ``str(error)`` is for the log, the command line and bulk jobs;
``error.public`` is for everybody who can send a request.
"""

from typing import ClassVar


class PrelabelError(Exception):
    """Base of every error that Prelabel raises on purpose.

    Attributes:
        public: the text for answers and pages. It differs from the error's own text where that would tell strangers how hosts
            answer that they cannot reach themselves.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, text: str = "", *, public: str | None = None) -> None:
        super().__init__(text)
        self.public = text if public is None else public


class SettingsError(PrelabelError):
    """The environment holds a value that cannot be used; the start stops."""

    code = "bad_settings"


class RequestError(PrelabelError):
    """A request as a whole cannot be understood."""

    status = 422
    code = "bad_request"


class LabelConfigError(PrelabelError):
    """A label config cannot be served: not XML, no rectangle control, or no label that the detector knows."""

    status = 422
    code = "bad_label_config"


class TaskError(PrelabelError):
    """A task does not hold what the label config says it holds."""

    status = 422
    code = "bad_task"


class ImageReferenceError(PrelabelError):
    """A task names its image in a form that cannot be fetched, or that must not be."""

    status = 422
    code = "bad_image_reference"


class ImageFetchError(PrelabelError):
    """The image's bytes could not be had: unreachable, slow, refused, empty or over the size limit."""

    status = 502
    code = "image_not_fetched"
    retryable = True


class ImageUnreachableError(ImageFetchError):
    """Whoever has the image does not answer at all."""


class ImageRefusedError(ImageFetchError):
    """Whoever has the image says no: not there, or not for us. Asking again does not help."""

    retryable = False


class TokenRefusedError(ImageRefusedError):
    """Label Studio refuses the token, so nothing of what it keeps can be had until somebody changes that."""

    code = "token_refused"


class ImageDecodeError(PrelabelError):
    """The bytes are not an image that can be read: another file type, truncated, or over the pixel limit."""

    status = 422
    code = "image_not_readable"


class NotAnImageError(ImageDecodeError):
    """The bytes are a file of another kind, such as a page or JSON; the text quotes them."""


class CacheError(PrelabelError):
    """A store of the cache failed. Tasks never see it: it is counted, and the picture is computed."""

    status = 503
    code = "cache"
    retryable = True


class LabelStudioError(PrelabelError):
    """Label Studio's API refuses a request, or does not answer for long."""

    status = 502
    code = "label_studio"
    retryable = True


class FeedbackError(PrelabelError):
    """What people corrected cannot be kept, read or learned from just now; predictions go on."""

    status = 503
    code = "feedback"
    retryable = True


class BootstrapError(PrelabelError):
    """A bulk job cannot begin or go on; what it has done is kept."""

    code = "bootstrap"


class DeadlineError(PrelabelError):
    """The request had to be answered before the task was done; the work goes on into the cache."""

    status = 504
    code = "deadline"
    retryable = True


class DetectorLoadError(PrelabelError):
    """The detector's handle could not be loaded; the start stops."""

    status = 503
    code = "detector_not_loaded"


class DetectorContractError(DetectorLoadError):
    """The handle loads, but is not a detector of the supported contract."""

    code = "detector_contract"


class DetectorError(PrelabelError):
    """The detector failed on one picture."""

    code = "detector_failed"
    retryable = True
