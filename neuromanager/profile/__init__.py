"""From config.json to a profile: where and with what a run is executed."""
