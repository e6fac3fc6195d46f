"""THE ONLY DOORS out of the process: subprocesses, sockets, and other people's OCI layouts."""
