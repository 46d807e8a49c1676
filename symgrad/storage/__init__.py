"""Files that are written and read back: `atomic`, `checkpoint`, and `reading` for every input file.

Import the module you need (`from symgrad.storage import checkpoint`); this file imports none of them, so that
starting up pays only for what is used. Nothing here knows expressions, models or training: a checkpoint is named
arrays and a JSON document, and what they mean is the caller's.
"""
