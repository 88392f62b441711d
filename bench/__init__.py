"""The benchmark: throughput, latency and cost of requests on gunicorn and PostgreSQL."""
