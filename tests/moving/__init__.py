"""Moving in and out: from and to the library's own recorders, and files of JSON lines."""
