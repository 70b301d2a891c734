"""Where the kernel keeps the limits of the control group that this process runs in."""

from __future__ import annotations

from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def folders(controller: str, root: Path, own: Path) -> list[Path]:
    """The process's control group and those above it, as any of them may set a limit (v2, and v1 in containers)."""
    found = [root, root / controller]
    for line in (read(own) or "").splitlines():
        if line.startswith("0::"):
            path = root / line.removeprefix("0::").strip().lstrip("/")
            found += [folder for folder in (path, *path.parents) if folder.is_relative_to(root)]
    return list(dict.fromkeys(found))


def read(path: Path) -> str | None:
    """What a file says, None where there is none."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return None
