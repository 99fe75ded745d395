"""aics-tlog on a log folder: its checkpoint against the key, then every tile and every bundle of the tree.

walk.py FOLDER VKEY: prints blocks, tiles and bundles; status 1 and the reason where something is refused."""

import sys
from pathlib import Path

from aics_tlog.checkpoint import checkpoint_from_note, verify_checkpoint
from aics_tlog.note import parse_vkey
from aics_tlog.tiles import FileSystemTileReader
from aics_tlog.verified import audit_tiles

folder, vkey = Path(sys.argv[1]), parse_vkey(sys.argv[2])
try:
    checkpoint, note = checkpoint_from_note((folder / "checkpoint").read_bytes())
    result = verify_checkpoint(note, vkey, expected_origin=vkey.name)
    if not result.ok:
        raise ValueError(f"checkpoint: {result.error}")
    report = audit_tiles(FileSystemTileReader(folder), checkpoint.size, checkpoint.root)
except (ValueError, OSError, AssertionError) as error:
    sys.exit(f"refused: {error}")
print(report.size, report.tiles, report.bundles)
