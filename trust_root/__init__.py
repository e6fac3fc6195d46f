"""The trust root: TUF roles, keys, ceremonies and what a site remembers. Of bundler it imports layer 0 only."""
