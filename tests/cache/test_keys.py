from ml_backend.cache.keys import address_key, detection_key, fingerprint_of, input_shaping, lock_key, namespace_of

FINGERPRINT, DIGEST = "f" * 64, "d" * 64


def test_detections_are_of_model_and_bytes() -> None:
    """The same picture hits under another name; another model or picture never does."""
    key = detection_key(FINGERPRINT, "2-640", DIGEST)
    assert key == detection_key(FINGERPRINT, "2-640", DIGEST)
    assert key != detection_key(FINGERPRINT, input_shaping(0), DIGEST)
    assert len({key, detection_key("e" * 64, "2-640", DIGEST), detection_key(FINGERPRINT, "2-640", "e" * 64)}) == 3
    assert fingerprint_of(key) == FINGERPRINT


def test_addresses_are_not_readable() -> None:
    """They can hold passwords; and a lone surrogate, as JSON can carry, is no reason to fail."""
    assert "secret" not in address_key("http://me:secret@host/a.jpg\ud800")
    assert fingerprint_of(address_key("http://host/a.jpg")) == ""


def test_kinds_do_not_meet() -> None:
    """An entry and its lock lie under different keys, all below one prefix."""
    key = detection_key(FINGERPRINT, "2-640", DIGEST)
    keys = (key, lock_key(key), address_key(key))
    assert all(each.startswith("prelabel:") for each in keys)
    assert [namespace_of(each) for each in keys] == ["detections", "locks", "addresses"]
