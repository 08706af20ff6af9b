from ml_backend.cache.keys import namespace_of
from ml_backend.images.decoding.decode import INPUT_SHAPING
from ml_backend.pipeline.cache_keys import (
    ADDRESSES,
    DETECTIONS,
    TILES,
    address_key,
    fingerprint_of,
    input_shaping,
    result_key,
    results_prefix,
    tile_shaping,
)

FINGERPRINT, DIGEST = "f" * 64, "d" * 64


def test_keys_are_those_of_older_caches() -> None:
    """Another spelling would lose every cached entry."""
    assert result_key(DETECTIONS, FINGERPRINT, "3-640", DIGEST) == f"prelabel:detections:{FINGERPRINT}:3-640:{DIGEST}"
    digest = "c3c0d22b72f11553575e671a77963fff4fab60298fbcbbee6f7acb0b8146b36b"
    assert address_key("http://host/a.jpg") == f"prelabel:addresses:{digest}"


def test_detections_belong_to_model_input_and_bytes() -> None:
    """The same image hits under another name; another model, input or image never does."""
    key = result_key(DETECTIONS, FINGERPRINT, input_shaping(640), DIGEST)
    others = (
        result_key(DETECTIONS, "e" * 64, input_shaping(640), DIGEST),
        result_key(DETECTIONS, FINGERPRINT, input_shaping(0), DIGEST),
        result_key(DETECTIONS, FINGERPRINT, input_shaping(640), "e" * 64),
    )
    assert len({key, *others}) == 4
    assert fingerprint_of(key) == FINGERPRINT
    assert key.startswith(results_prefix(DETECTIONS, "ffff"))


def test_input_shaping_has_the_version_of_decoding() -> None:
    """A change of decoding makes new keys, so older detections are not found."""
    assert input_shaping(640) == f"{INPUT_SHAPING}-640"


def test_results_in_tiles_have_keys_of_their_own() -> None:
    """By the number of tiles, beside those of the whole image, which stay as they are; the commands find them by the model."""
    keys = {result_key(TILES, FINGERPRINT, tile_shaping(640, most), DIGEST) for most in (2, 3, 4)}
    assert len({*keys, result_key(DETECTIONS, FINGERPRINT, input_shaping(640), DIGEST)}) == 4
    assert {fingerprint_of(key) for key in keys} == {FINGERPRINT}
    assert {namespace_of(key) for key in keys} == {TILES}


def test_addresses_are_not_readable() -> None:
    """They can hold passwords, and a lone surrogate, as JSON can carry."""
    assert "secret" not in address_key("http://me:secret@host/a.jpg\ud800")
    assert fingerprint_of(address_key("http://host/a.jpg")) == ""


def test_namespaces_are_the_kinds_of_the_metrics() -> None:
    """Reads are counted by the namespace of their key."""
    assert namespace_of(result_key(DETECTIONS, FINGERPRINT, "3-640", DIGEST)) == DETECTIONS
    assert namespace_of(address_key("http://host/a.jpg")) == ADDRESSES
