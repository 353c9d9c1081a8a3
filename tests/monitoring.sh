#!/usr/bin/env bash
# What recipes/monitoring holds. By Prometheus's own tool: the configuration, and each alert on figures made up for it. The
# collector's configuration, without a collector: that its pipelines name what is defined, and dev-full.yml what they reach.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../recipes/monitoring"

if python3 -c 'import yaml' 2>/dev/null; then
    python3 - <<'EOF'
import sys
import yaml


def read(path):
    with open(path) as file:
        return yaml.safe_load(file)


def place(url):
    host, _, port = url.removeprefix("http://").partition(":")
    return host, port


collector, recipe = read("otel-collector.yml"), read("../dev-full.yml")
sources = read("grafana/datasources.yml")["datasources"]
wrong = []

pipelines = collector["service"]["pipelines"]
for kind in ("receivers", "processors", "exporters"):
    named = {part for pipeline in pipelines.values() for part in pipeline.get(kind, [])}
    for part in sorted(named ^ set(collector[kind])):
        wrong.append(f"otel-collector.yml: {part} is not both defined and named by a pipeline, among {kind}")
for name, pipeline in pipelines.items():
    if not pipeline.get("receivers") or not pipeline.get("exporters"):
        wrong.append(f"otel-collector.yml: the pipeline {name} has no receiver or no exporter")
    if pipeline.get("processors", [])[:1] != ["memory_limiter"]:
        wrong.append(f"otel-collector.yml: the pipeline {name} does not begin with memory_limiter")

_, port = place(collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"])
told = f"${{OTEL_EXPORTER_OTLP_ENDPOINT-http://otel-collector:{port}}}"
for name, service in recipe["services"].items():
    node = service.get("environment", {})
    if "ASTROMESH_ROLE" in node and node.get("OTEL_EXPORTER_OTLP_ENDPOINT") != told:
        wrong.append(f"dev-full.yml: {name} does not tell the collector at its port {port}")
for url in [collector["exporters"]["otlphttp"]["endpoint"], *(source["url"] for source in sources)]:
    if place(url)[0] not in recipe["services"]:
        wrong.append(f"dev-full.yml: there is no service for {url}")
if wrong:
    sys.exit("\n".join(wrong))
print("otel-collector.yml: what its pipelines name is defined, and what it hears and tells is in dev-full.yml")
EOF
else
    echo '######  NOT CHECKED: the configuration of the collector, for Python has no yaml (apt-get install python3-yaml)'
fi

if ! command -v promtool >/dev/null; then
    echo '######  NOT CHECKED: alerts and configuration, for there is no promtool (apt-get install prometheus)'
    exit 0
fi
promtool check config prometheus.yml
promtool test rules alerts.test.yml
alerts=$(grep -c -- '- alert:' alerts.yml)
tried=$(grep -c 'alertname=.*eval\|expr: ALERTS{alertname=' alerts.test.yml)
if [ "$alerts" -ne "$tried" ]; then
    echo "alerts.test.yml tries $tried alerts of $alerts" >&2
    exit 1
fi
