"""Sealift's bundler: images and their evidence into one signed file, and that file checked offline."""
