"""The metrics at ``/metrics``: names, help texts and labels."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ml_backend.stages import SECONDS, Stages

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The metrics of one pipeline, in a registry of their own, so that one process can have several pipelines.

    Label ``tier`` is ``memory``, ``sqlite`` or ``redis``.

    Attributes:
        stage: gives one of the :data:`~ml_backend.stages.STAGES` by its name, to be measured: ``with metrics.stage("decode"): …``
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        stages = Stages()
        self.registry.register(stages)
        self.stage = stages.stage
        self.requests = Histogram(
            "prelabel_request_seconds",
            "Duration of a request, from its headers to the end of its answer, by route and class of its status (2xx, 4xx, 5xx).",
            ["route", "status"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.tasks = Counter(
            "prelabel_tasks",
            "Tasks answered, by outcome: predicted, or the code of the error.",
            ["outcome"],
            registry=self.registry,
        )
        self.model_runs = Counter(
            "prelabel_model_runs",
            "Runs of a model on an image or a tile of it, by its kind: detector, classifier.",
            ["model"],
            registry=self.registry,
        )
        self.fetches = Counter(
            "prelabel_fetches",
            "Images that were requested, by outcome: transfer, unchanged (a conditional request), remembered (no request).",
            ["outcome"],
            registry=self.registry,
        )
        self.images_in_flight = Gauge(
            "prelabel_images_in_flight", "Images in memory at the moment.", registry=self.registry
        )
        self._old_images_in_flight = Gauge(
            "prelabel_pictures_in_flight",
            "Old name of prelabel_images_in_flight, until the next release.",
            registry=self.registry,
        )
        self.cache_reads = Counter(
            "prelabel_cache_reads",
            "Entries read, by kind (detections, tiles, classifications, addresses) and result: hit, miss, expired, corrupt (damaged or of another version), failed (an error of the tier, or its circuit breaker was open).",
            ["tier", "kind", "result"],
            registry=self.registry,
        )
        self.cache_errors = Counter(
            "prelabel_cache_errors",
            "Failed calls of a tier, by kind: away (no answer in time), refused (the answer was an error).",
            ["tier", "operation", "kind"],
            registry=self.registry,
        )
        self.cache_seconds = Histogram(
            "prelabel_cache_seconds",
            "Duration of one call of a tier; one read can request many entries.",
            ["tier", "operation"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.cache_entries = Gauge("prelabel_cache_entries", "Entries in a tier.", ["tier"], registry=self.registry)
        self.cache_bytes = Gauge(
            "prelabel_cache_bytes",
            "Bytes that a tier takes; for redis, the memory of the whole server.",
            ["tier"],
            registry=self.registry,
        )
        self.breaker_open = Gauge(
            "prelabel_cache_breaker_open",
            "1 while the circuit breaker of a tier is open because the tier does not answer, else 0.",
            ["tier"],
            registry=self.registry,
        )
        self.single_flight_waits = Counter(
            "prelabel_single_flight_waits",
            "Images that were waited for because another request (process) or another server (the name of the store) computed them.",
            ["scope"],
            registry=self.registry,
        )
        self.events = Counter(
            "prelabel_events",
            "Events of Label Studio, by its name for what happened, or unknown or malformed.",
            ["action"],
            registry=self.registry,
        )
        self.events_waiting = Gauge(
            "prelabel_events_waiting",
            "Changed annotations and tasks that wait to be read back; NaN while the database of corrections does not answer.",
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self._old_images_in_flight.set(self.value("prelabel_images_in_flight"))
        return generate_latest(self.registry)

    def value(self, name: str, **labels: str) -> float:
        """Return one value by its name and labels; 0 where nothing has been counted yet."""
        found = self.registry.restricted_registry([name]).collect()
        samples = (sample for metric in found for sample in metric.samples)
        return next((each.value for each in samples if (each.name, each.labels) == (name, labels)), 0) or 0
