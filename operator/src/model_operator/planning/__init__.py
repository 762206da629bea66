"""What to do, decided from what was observed. Pure: no clock, no client, no environment."""
