"""From a request to runs that go."""
