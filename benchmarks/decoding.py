"""The cost of decoding in separate processes: images per second with and without, in turns within one run.

Decodes and detects the same photographs with as many callers as the service has workers. Run it with `make bench`; `docs/security.md`
has the figures.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from servers import detector, load_detector, material
from table import spread

from ml_backend.images.decoding.decode import DecodedImage, decode
from ml_backend.images.decoding.pool import DecoderPool, Limits
from ml_backend.settings import load_settings

Decode = Callable[[bytes], DecodedImage]


def main() -> None:
    """Measure in turns, and print rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder, DecoderPool(Limits.from_settings(settings)) as pool:
        model = load_detector(detector(Path(folder)))
        files = [path.read_bytes() for path in sorted((material(Path(folder)) / "photo").iterdir())]

        def rate(decoder: Decode) -> float:
            def detect(data: bytes) -> None:
                image = decoder(data)
                model.run(image.pixels, (image.width, image.height))

            with ThreadPoolExecutor(settings.inference_workers) as threads:
                started = time.perf_counter()
                list(threads.map(detect, files))
                return len(files) / (time.perf_counter() - started)

        def here(data: bytes) -> DecodedImage:
            return decode(data, max_pixels=settings.image_max_pixels, max_side=settings.model_input_max_side)

        def there(data: bytes) -> DecodedImage:
            return pool.decode(data, settings.model_input_max_side)

        for decoder in (here, there):
            rate(decoder)  # warm-up
        rates = [(rate(here), rate(there)) for _ in range(rounds)]
    print(f"{len(files)} photographs, {settings.inference_workers} workers, load {os.getloadavg()[0]:.1f}")
    print(f"in threads:   {spread([threads for threads, _ in rates])} images/s")
    print(f"in processes: {spread([processes for _, processes in rates])} images/s")
    print(f"ratio:        {spread([processes / threads for threads, processes in rates], 3)}")


if __name__ == "__main__":
    main()
