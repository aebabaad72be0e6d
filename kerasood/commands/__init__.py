"""The commands: flags in, a story over the library, files out."""
