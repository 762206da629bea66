// Package plugins stands in the place of Prometheus' list of the kinds of service discovery that it is built with.
// Of the thirty that need a client of their own a cluster needs one; those for files and by HTTP are in any case.
package plugins

import (
	// kubernetes_sd_configs
	_ "github.com/prometheus/prometheus/discovery/kubernetes"
)
