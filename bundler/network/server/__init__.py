"""A small HTTP/1.1 server that only gives: requests without bodies, answers whose bytes somebody else proved."""
