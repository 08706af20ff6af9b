"""Sources: the folders, lists, storages and projects that a bulk job takes its images from."""
