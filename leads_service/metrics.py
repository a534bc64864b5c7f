"""Metrics for Prometheus, aggregated over all workers; off unless LEADS_METRICS_TOKEN is set."""

import atexit
import os
from hmac import compare_digest
from shutil import rmtree
from tempfile import mkdtemp
from time import perf_counter

from flask import Flask, Response, g, request
from flask_smorest import abort

from leads_service.api.responses import WholeResponse
from leads_service.api.throttle import Throttle
from leads_service.extras import import_extra

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # its value is the folder that workers share
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)  # seconds
# Other methods are counted as "other": a client must not be able to create labels.
METHODS = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}


def install(app: Flask, token: str, throttle: Throttle) -> None:
    """Count and time the application's requests, and add the endpoint /metrics.

    Args:
        app: The application.
        token: The bearer token that the endpoint requires.
        throttle: The rate limiter for invalid tokens.

    Raises:
        ConfigError: The extra ``metrics`` is not installed.
    """
    _set_multiprocess_folder()
    prometheus = import_extra("prometheus_client", "metrics")
    multiprocess = import_extra("prometheus_client.multiprocess", "metrics")
    own = {"registry": prometheus.CollectorRegistry(), "namespace": "leads"}
    count = prometheus.Counter(
        "requests", "Requests answered.", ("method", "route", "status"), **own
    )
    times = prometheus.Histogram(
        "request_seconds", "How long they took.", ("method", "route"), buckets=BUCKETS, **own
    )

    def observe(response: Response) -> Response:
        method = request.method if request.method in METHODS else "other"
        route = request.url_rule.rule if request.url_rule else "none"
        count.labels(method, route, response.status_code).inc()
        times.labels(method, route).observe(perf_counter() - g.leads_call.began)
        return response

    def show() -> Response:
        given = request.authorization
        sent = (given and given.token) or ""
        if not sent or not throttle.look_up(sent, lambda: _is_same(sent, token)):
            abort(401, message="Send LEADS_METRICS_TOKEN as 'Authorization: Bearer TOKEN'.")
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        figures = prometheus.generate_latest(registry)
        return WholeResponse(figures, content_type=prometheus.CONTENT_TYPE_LATEST)

    app.after_request(observe)
    app.add_url_rule("/metrics", "leads_service_metrics", show)


def _is_same(sent: str, token: str) -> bool | None:
    return compare_digest(sent.encode(), token.encode()) or None


def _set_multiprocess_folder() -> None:
    """Create the folder in which prometheus_client shares metrics between forked workers.

    It reads the folder's path from the environment when it is imported.
    """
    if MULTIPROCESS_VARIABLE in os.environ:
        return
    folder, owner = mkdtemp(prefix="leads-metrics-"), os.getpid()
    os.environ[MULTIPROCESS_VARIABLE] = folder

    def remove() -> None:
        if os.getpid() == owner:
            rmtree(folder, ignore_errors=True)

    atexit.register(remove)
