"""Our way beside the plain way, in one run: what `cico bench` measures."""
