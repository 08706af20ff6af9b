from ml_backend.cache import detection_key


def test_key_is_of_model_and_bytes() -> None:
    """The same picture hits under another name; another model or picture never does."""
    key = detection_key("f" * 64, b"picture")
    assert key == detection_key("f" * 64, b"picture")
    assert len({key, detection_key("e" * 64, b"picture"), detection_key("f" * 64, b"picturf")}) == 3
