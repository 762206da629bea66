"""The report of a load experiment: ours beside the paper's, with ratios, intervals, pictures and what was not run."""
