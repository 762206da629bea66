"""One page about artifacts: how they were trained, what they hold, how good they are, and what others published."""
