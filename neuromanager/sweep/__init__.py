"""From params.json to points, and from points to words."""
