"""The chart's Grafana dashboards: written from here as JSON, and evaluated panel by panel."""
