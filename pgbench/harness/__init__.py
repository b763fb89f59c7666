"""Running a grid: cells, ascents and the horizon study, their progress and provenance."""
