"""Archive files: listed, downloaded, proven, unpacked, loaded."""
