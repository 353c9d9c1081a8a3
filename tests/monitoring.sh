#!/usr/bin/env bash
# What recipes/monitoring holds, by Prometheus's own tool: the configuration, and each alert on figures made up for it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../recipes/monitoring"

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
