"""Statements that find what stands in the way of a staged commit.

Parameters: ``:tree_id``, ``:sequence`` and ``:sealed_to`` of the tree's newest snapshot, ``:commit_id`` of the staged
commit, and ``:since``: only what was committed after this sequence is looked at.
"""

from holdfast_server.storage.sql.snapshots import CANDIDATES

# What stands now where a staged commit is about to write: the newest visible version of each path it touches, or of a
# path that is the same after normalization, unless the commit itself removes it. Few rows get beyond comparing kinds.
_CONFLICTS = f"""
SELECT staged.path AS path, staged.kind AS kind, live.path AS live_path, live.kind AS live_kind
FROM {{sources}}
WHERE staged.kind != 0 AND live.kind != 0 AND (live.path != staged.path OR live.kind != staged.kind)
  AND made.sequence > :since AND made.sequence = (
    SELECT MAX(later.sequence) FROM entries newer JOIN commits later ON later.commit_id = newer.commit_id
    WHERE newer.tree_id = :tree_id AND newer.path = live.path
      AND newer.commit_id {CANDIDATES.format(path="live.path")})
  AND NOT EXISTS (
    SELECT 1 FROM entries removal
    WHERE removal.tree_id = :tree_id AND removal.path = live.path AND removal.commit_id = :commit_id
      AND removal.kind = 0)
LIMIT 1
"""  # noqa: S608 - of constants
# From each staged entry to what stands there. CROSS JOIN keeps this order, and INDEXED BY keeps the planner from the
# primary key, of which a normalized name could use only the first column: each entry would look at the whole tree.
FROM_STAGED = tuple(
    _CONFLICTS.format(
        sources="(SELECT * FROM entries WHERE commit_id = :commit_id) staged"  # noqa: S608 - of constants
        f" CROSS JOIN entries live {match} CROSS JOIN commits made ON made.commit_id = live.commit_id"
    )
    for match in (
        *(
            f"ON live.tree_id = :tree_id AND live.path = {path} AND live.commit_id {CANDIDATES.format(path=path)}"
            for path in ("staged.path", "staged.nfc_path")
        ),
        (
            "INDEXED BY entries_nfc ON live.tree_id = :tree_id"
            " AND live.nfc_path = COALESCE(staged.nfc_path, staged.path) AND live.path != staged.path"
        ),
    )
)
# The other way round, for a commit that was compared before: from what was committed since, which is little while the
# staged commit may have a million entries.
FROM_RECENT = tuple(
    _CONFLICTS.format(
        sources="commits made CROSS JOIN entries live ON made.tree_id = :tree_id AND live.commit_id = made.commit_id"
        f" CROSS JOIN entries staged {match} AND staged.tree_id = :tree_id AND staged.commit_id = :commit_id"
    )
    for match in (
        "ON staged.path = live.path",
        "ON staged.path = live.nfc_path",
        "INDEXED BY entries_nfc ON staged.nfc_path = COALESCE(live.nfc_path, live.path)",
    )
)
