"""The tests; they mirror the package, so that two files of one name do not collide."""
